#include "mia/models/upsampler.hpp"

#include <map>

#include "reference/activation.hpp"
#include "reference/conv2d.hpp"
#include "reference/pixel_shuffle.hpp"
#include "reference/resize.hpp"

namespace mia {
namespace {

using test::Numbers;

constexpr double network_rounding = 2e-5;  // sums of up to 576 terms, one after the other; 0.1 is a float

/// An upsampler with random parameters, and the same by the references.
template <class U>
struct Case {
    static constexpr UpsamplerConfig C = U::config;
    static constexpr int H = 3, W = 5;
    Cpu cpu{2, ScratchFill::nan};
    Network<U> upsampler{cpu};
    std::map<std::string, Numbers> parameter;
    Numbers features, frame;

    Case() {
        test::Random random(C.scale);
        for_each_parameter(*upsampler, [&](const std::string& name, auto&& p) {
            parameter[name] = random.numbers(p.size, -0.1, 0.1);
            std::copy(parameter[name].begin(), parameter[name].end(), p.data);
        });
        prepare(cpu, *upsampler);
        features = random.numbers(H * W * C.embed_dim);
        frame = random.numbers(H * W * 3, 0, 1);
    }
    std::vector<float> run() {
        const auto in = test::cast<float>(features), lq = test::cast<float>(frame);
        auto out = test::unwritten<float>(C.scale * H * C.scale * W * 3);
        upsampler->forward(cpu, {in.data(), {H, W, C.embed_dim}}, {lq.data(), {H, W, 3}},
                           {out.data(), {C.scale * H, C.scale * W, 3}});
        return out;
    }
    Numbers conv(const std::string& name, const Numbers& x, int enlarged) const {
        const Numbers &w = parameter.at(name + ".weight"), &b = parameter.at(name + ".bias");
        const int O = int(b.size()), I = int(w.size()) / O / 9;
        return reference::conv2d(x, w, b, enlarged * H, enlarged * W, I, O, 3);
    }
    static Numbers leaky(Numbers x) {
        for (double& v : x) v = reference::leaky_relu(v);
        return x;
    }
    Numbers plus_frame(Numbers x) const {
        const auto base = reference::resize(frame, H, W, 3, C.scale * H, C.scale * W, false);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] += base[i];
        return x;
    }
};

template <int Scale>
void two_steps() {
    constexpr UpsamplerConfig config{.embed_dim = 5, .mid_channels = 6, .scale = Scale};
    Case<TwoStepUpsampler<config>> c;
    constexpr int first = Scale == 3 ? 3 : 2;
    auto x = c.conv("conv_before_upsample", c.features, 1);  // no activation
    x = c.leaky(reference::pixel_shuffle(c.conv("upconv1", x, 1), c.H, c.W, 6, first));
    if (Scale == 4) x = c.leaky(reference::pixel_shuffle(c.conv("upconv2", x, 2), 2 * c.H, 2 * c.W, 64, 2));
    x = c.conv("conv_last", c.leaky(c.conv("conv_hr", x, Scale)), Scale);
    test::expect_near(c.run(), c.plus_frame(x), network_rounding, text("x", Scale));
    EXPECT_EQ(c.parameter.contains("upconv2.weight"), Scale == 4);
    EXPECT_EQ(c.parameter.at("conv_hr.weight").size(), 64u * (Scale == 4 ? 64 : 6) * 9);
}

TEST(TwoStepUpsampler, By2) { two_steps<2>(); }
TEST(TwoStepUpsampler, By3) { two_steps<3>(); }
TEST(TwoStepUpsampler, By4) { two_steps<4>(); }

template <int Scale>
void one_step() {
    constexpr UpsamplerConfig config{.embed_dim = 4, .mid_channels = 7, .scale = Scale};
    Case<OneStepUpsampler<config>> c;
    const auto x = c.conv("upconv1", c.leaky(c.conv("conv_before_upsample", c.features, 1)), 1);
    test::expect_near(c.run(), c.plus_frame(reference::pixel_shuffle(x, c.H, c.W, 3, Scale)), network_rounding,
                      text("x", Scale));
}

TEST(OneStepUpsampler, By1) { one_step<1>(); }
TEST(OneStepUpsampler, By3) { one_step<3>(); }
TEST(OneStepUpsampler, By4) { one_step<4>(); }

}  // namespace
}  // namespace mia
