#include "mia/nn/mask_predictor.hpp"

#include "reference/numbers.hpp"

namespace mia {
namespace {

template <MaskConfig M>
std::string names() {
    std::string all;
    const MaskPredictor<M, 5> predictor;
    for_each_parameter(predictor, [&](const std::string& name, const auto&) { all += name + " "; });
    return all;
}

TEST(MaskPredictor, OnlyTheLearnedKindHasParameters) {
    EXPECT_EQ(names<MaskConfig{}>(), "rnn.weight rnn.bias ");
    EXPECT_EQ(names<MaskConfig{.kind = MaskKind::threshold}>(), "");
    EXPECT_EQ(names<MaskConfig{.kind = MaskKind::none}>(), "");
}

TEST(MaskPredictor, KindsDecideByTheirOwnRule) {
    constexpr int P = 3, C = 2;
    Cpu cpu(2, ScratchFill::nan);
    const std::vector<float> before(P * C), now{0, 0, 0.5f, 0, -1, 2};  // changes: 0, 0.5, 3 in sum
    std::vector<std::uint8_t> keep(P, 7);
    Network<MaskPredictor<MaskConfig{}, C>> learned(cpu);
    learned.flat()(0) = learned.flat()(1) = 1;
    learned.flat()(2) = -0.75f;
    learned->forward(cpu, {}, {now.data(), {P, C}}, {before.data(), {P, C}}, {keep.data(), {P}});
    EXPECT_EQ(keep, (std::vector<std::uint8_t>{0, 0, 1}));
    Network<MaskPredictor<MaskConfig{.kind = MaskKind::threshold, .threshold = 0.25f}, C>> threshold(cpu);
    threshold->forward(cpu, {}, {now.data(), {P, C}}, {before.data(), {P, C}}, {keep.data(), {P}});
    EXPECT_EQ(keep, (std::vector<std::uint8_t>{0, 1, 1}));  // the mean over channels, equal counts
}

}  // namespace
}  // namespace mia
