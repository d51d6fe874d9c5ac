// Models in bf16: frames and flows stay float, and what the default model makes is that of fp32 to less than a step of
// an 8-bit pixel.
#include "mia/models/model_list.hpp"
#include "reference/numbers.hpp"
#include "support/golden.hpp"
#include "support/toy_parts.hpp"

namespace mia {
namespace {

/// A texture that moves by a pixel and a quarter a frame.
Tensor<float, 4> moving_clip(int T, int H, int W) {
    Tensor<float, 4> clip(T, H, W, 3);
    for (int t = 0; t < T; ++t)
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c)
                    clip.view()(t, y, x, c) = 0.5f + 0.2f * std::sin(0.31f * (float(x) - 1.25f * float(t)) + float(c)) +
                                              0.2f * std::sin(0.23f * float(y) * (1 + 0.01f * float(x)));
    return clip;
}

template <class Model, class B>
Tensor<float, 4> run(B& cpu, const Model& model, const Tensor<float, 4>& clip) {
    constexpr int r = Model::scale;
    Tensor<float, 4> out(clip.extent(0), r * clip.extent(1), r * clip.extent(2), 3);
    model.forward(cpu, clip.view(), out.view());
    return out;
}

bool same(const Tensor<float, 4>& a, const Tensor<float, 4>& b) {
    return a.size() == b.size() && std::equal(a.data(), a.data() + a.size(), b.data());
}

template <MiaVsrConfig C, class Parts>
void without_weights_it_is_the_resized_frame(int H, int W) {
    Cpu cpu(1);
    CpuBf16 bf16(1);
    Network<MiaVsr<C, Cpu, Parts>> wide(cpu);
    Network<MiaVsr<C, CpuBf16, Parts>, CpuBf16> narrow(bf16);
    prepare(cpu, *wide);  // parameters begin as zeros
    prepare(bf16, *narrow);
    const auto clip = moving_clip(2, H, W);
    EXPECT_TRUE(same(run(bf16, *narrow, clip), run(cpu, *wide, clip))) << H << " x " << W;
}

struct LightFlowParts : PublishedParts {
    template <class B>
    using Flow = SpyNet<light_spynet, B>;
    template <class B>
    using Alignment = BilinearAlignment<B>;
};
constexpr MiaVsrConfig toy{.embed_dim = 16,
                           .num_heads = 2,
                           .window = {3, 4, 4},
                           .depths = {{1}},
                           .directions = directions(Direction::backward, Direction::forward),
                           .mid_channels = 16};

TEST(Bf16Model, FramesPassWithoutRounding) {
    without_weights_it_is_the_resized_frame<toy, test::ToyParts>(12, 10);
    without_weights_it_is_the_resized_frame<toy, test::ToyParts>(5, 3);  // padded and cropped
    without_weights_it_is_the_resized_frame<toy, LightFlowParts>(17, 18);
}

template <MiaVsrConfig C, class Parts>
void is_near_fp32(double most) {
    Cpu cpu(2);
    CpuBf16 one(1), two(2);
    using Narrow = MiaVsr<C, CpuBf16, Parts>;
    Network<MiaVsr<C, Cpu, Parts>> wide(cpu);
    Network<Narrow, CpuBf16> narrow(one), narrow2(two);
    test::Random random(5);
    std::map<std::string, std::vector<float>> numbers;
    for_each_parameter(*wide, [&](const std::string& name, const auto& p) {
        const double size = p.shape.size() > 1 ? 1 / std::sqrt(double(p.size) / p.shape[0]) : 0.1;
        auto values = test::cast<float>(random.numbers(p.size, -size, size));
        if (name.find("norm") != std::string::npos && name.ends_with("weight"))
            for (float& v : values) v += 1;
        std::copy(values.begin(), values.end(), p.data);
        numbers[name] = values;
    });
    for (auto* network : {&narrow, &narrow2})
        for_each_parameter(**network, [&](const std::string& name, const auto& p) {
            for (std::ptrdiff_t i = 0; i < p.size; ++i) p.data[i] = Bf16(numbers.at(name)[std::size_t(i)]);
        });
    prepare(cpu, *wide);
    prepare(one, *narrow);
    prepare(two, *narrow2);
    const auto clip = moving_clip(3, 19, 22);
    const auto expected = run(cpu, *wide, clip), actual = run(one, *narrow, clip);
    EXPECT_TRUE(same(actual, run(two, *narrow2, clip))) << "one and two threads";
    double squares = 0, energy = 0;
    for (std::ptrdiff_t i = 0; i < actual.size(); ++i) {
        squares += std::pow(double(actual.data()[i]) - expected.data()[i], 2);
        energy += std::pow(double(expected.data()[i]) - 0.5, 2);
    }
    EXPECT_LE(std::sqrt(squares / energy), most);
    EXPECT_GT(squares, 0);
}

// Some dozens of roundings of 2^-9 one after the other, most of which average out.
TEST(Bf16Model, EveryPartRuns) {
    constexpr MiaVsrConfig fused = [] {
        MiaVsrConfig c = toy;
        c.fusion = Fusion::convolution;
        c.mask = {.kind = MaskKind::none};
        return c;
    }();
    is_near_fp32<fused, LiteParts>(0.02);
    is_near_fp32<fused, LightFlowParts>(0.05);
}

constexpr std::tuple models{NamedModel<MiaVsrLite<>>{"lite"}, NamedModel<MiaVsrLite<CpuBf16>>{"lite_bf16"}};

std::unique_ptr<AnyModel> lite(Precision precision) {
    return open_model(read_safetensors(MIA_MODELS "/mia_lite.safetensors"), {.precision = precision}, models);
}

TEST(OpenModel, InThePrecisionAskedFor) {
    const auto wide = lite(Precision::fp32), narrow = lite(Precision::bf16);
    EXPECT_EQ(wide->name(), "lite");
    EXPECT_EQ(narrow->name(), "lite_bf16");
    EXPECT_LT(double(narrow->memory_bytes(7, 180, 320)), 0.6 * double(wide->memory_bytes(7, 180, 320)));
    const auto clip = moving_clip(3, 24, 32);
    Tensor<float, 4> a(3, 96, 128, 3), b(3, 96, 128, 3);
    wide->forward(clip.view(), a.view());
    narrow->forward(clip.view(), b.view());
    double squares = 0;
    for (std::ptrdiff_t i = 0; i < a.size(); ++i) squares += std::pow(double(a.data()[i]) - b.data()[i], 2);
    EXPECT_LT(std::sqrt(squares / double(a.size())), 0.25 / 255);  // at 40 dB that is 0.01 dB
}

TEST(OpenModel, SaysWhereThePrecisionIsMissing) {
    const auto file = read_safetensors(MIA_MODELS "/mia_lite.safetensors");
    try {
        open_model(file, {.precision = Precision::bf16}, std::tuple{NamedModel<MiaVsrLite<>>{"lite"}});
        FAIL() << "opened";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("CpuBf16"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace mia
