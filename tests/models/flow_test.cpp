#include "mia/models/flow.hpp"

#include "reference/block_match.hpp"

namespace mia {
namespace {

static_assert(OpticalFlow<BlockMatching<>, Cpu> && OpticalFlow<ZeroFlow<>, Cpu> && OpticalFlow<GivenFlow<>, Cpu> &&
              OpticalFlow<SpyNet<>, Cpu>);
static_assert(BlockMatching<>::least_size == 8 && SpyNet<>::least_size == 64);

TEST(Flow, BlockMatchingZeroGiven) {
    constexpr int H = 13, W = 20;
    test::Random random(1);
    const auto ref = random.numbers(H * W * 3, 0, 1), supp = random.numbers(H * W * 3, 0, 1);
    const auto a = test::cast<float>(ref), b = test::cast<float>(supp);
    const auto run = [&](const auto& flow) {
        Cpu cpu(2, ScratchFill::nan);
        auto f = test::unwritten<float>(H * W * 2);
        flow.forward(cpu, {a.data(), {H, W, 3}}, {b.data(), {H, W, 3}}, {f.data(), {H, W, 2}});
        return f;
    };
    test::expect_near(run(BlockMatching<>()), reference::block_match(ref, supp, H, W), 0, "block matching");
    test::expect_near(run(ZeroFlow<>()), test::Numbers(H * W * 2), 0, "zero");
    EXPECT_THROW(run(GivenFlow<>()), Error);
}

}  // namespace
}  // namespace mia
