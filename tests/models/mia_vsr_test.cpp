#include "mia/models/mia_vsr.hpp"

#include "mia/io/load_parameters.hpp"
#include "support/backends.hpp"
#include "support/first_small.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

using test::Array;
using test::Errors;
using test::Golden;

constexpr double image_rounding = 8e-6, flow_rounding = 3e-5;  // ten times an independent float implementation's

constexpr MiaVsrConfig golden_config(MaskKind mask) {
    return {.embed_dim = 24, .num_heads = 2, .depths = {{2, 2}}, .mask = {.kind = mask}, .mid_channels = 16};
}

template <class B>
struct Recorder : NoProbe {
    B* backend = nullptr;
    std::vector<std::vector<float>> flows_forward, flows_backward;
    std::vector<std::vector<std::vector<float>>> kept;  // features[branch + 1][frame]
    std::vector<std::vector<float>> masks;              // in order of computation
    int branch = 0, frame_step = 0;
    std::vector<std::pair<int, int>> mask_place;  // branch, step

    void flow(int from, int to, View<const float, 3> f) {
        (from < to ? flows_backward : flows_forward).push_back(test::values_of(*backend, f));
    }
    void step(int b, int s, int) {
        branch = b;
        frame_step = s;
    }
    void mask(View<const std::uint8_t, 3> k) {
        if (!k.data) return;
        const auto values = test::values_of(*backend, k);
        masks.emplace_back(values.begin(), values.end());
        mask_place.emplace_back(branch, frame_step);
    }
    template <class F>
    void features(int b, int frame, const F& f) {
        if (int(kept.size()) <= b + 1) kept.resize(std::size_t(b + 2));
        auto& of_branch = kept[std::size_t(b + 1)];
        if (int(of_branch.size()) <= frame) of_branch.resize(std::size_t(frame + 1));
        of_branch[std::size_t(frame)] = test::values_of(*backend, f);
    }
};

/// (T, C, H, W), after any axes of one -> (T, H, W, C).
Tensor<float, 4> clip_of(const Array& a, int first = 0, int count = -1) {
    const std::size_t r = a.shape.size();
    const int T = count < 0 ? a.shape[r - 4] : count, C = a.shape[r - 3], H = a.shape[r - 2], W = a.shape[r - 1];
    Tensor<float, 4> clip(T, H, W, C);
    for (int t = 0; t < T; ++t) {
        const auto frame = test::channels_last(a, first + t);
        std::copy(frame.data(), frame.data() + frame.size(), clip.view()[t].data);
    }
    return clip;
}

/// out[t, c, y0 + step * i, x0 + step * j] as the golden's (T, C, h, w), of channels [0, channels) of (T, H, W, C).
using Frames = std::vector<View<const float, 3>>;
std::vector<float> subsample(const Frames& frames, int channels, int first, int step) {
    std::vector<float> out;
    for (const auto& f : frames)
        for (int c = 0; c < channels; ++c)
            for (int y = first; y < f.extent(0); y += step)
                for (int x = first; x < f.extent(1); x += step) out.push_back(f(y, x, c));
    return out;
}

template <class B, template <class> class ModelOn>
struct GoldenRun {
    using Model = ModelOn<B>;
    B backend;
    Network<Model, B> model{backend};
    Tensor<float, 4> out;
    Recorder<B> probe;

    explicit GoldenRun(MaskTensors mask = MaskTensors::strict, int threads = 2, const char* weights = "e2e_weights")
        : backend(test::make_backend<B>(threads)) {
        load_parameters(backend, model, Golden(weights).file(), {.prefix = "", .mask = mask});
        prepare(backend, *model);
    }
    void forward(const Tensor<float, 4>& lqs) {
        const int T = lqs.extent(0), H = lqs.extent(1), W = lqs.extent(2);
        probe = {};
        probe.backend = &backend;
        const auto clip = test::place(backend, lqs);
        auto result = test::place<4>(backend, {T, Model::scale * H, Model::scale * W, 3});
        typename Model::State state;
        model->forward(backend, clip.view(), result.view(), state, probe);
        out = result.on_host();
    }
    std::vector<View<const float, 3>> out_frames() const {
        std::vector<View<const float, 3>> frames;
        for (int t = 0; t < out.extent(0); ++t) frames.push_back(out.view()[t]);
        return frames;
    }
    std::vector<View<const float, 3>> features(int branch, int H, int W) {
        std::vector<View<const float, 3>> frames;
        for (auto& f : probe.kept[std::size_t(branch + 1)])
            frames.push_back({f.data(), {H, W, int(f.size()) / (H * W)}});
        return frames;
    }
};

template <class B>
using Masked = MiaVsr<golden_config(MaskKind::learned), B>;
template <class B>
using Unmasked = MiaVsr<golden_config(MaskKind::none), B>;
template <class>
class MiaVsrGolden : public testing::Test {};
TYPED_TEST_SUITE(MiaVsrGolden, test::FloatBackends);
const char* const branch_names[] = {"spatial", "backward_1", "forward_1", "backward_2", "forward_2"};

/// Flows (1, n, 2, H, W), every `step`-th pixel, against (H, W, 2) flows.
void compare_flows(Errors& errors, const char* name, const std::vector<std::vector<float>>& flows,
                   const Array& expected, int H, int W, int step) {
    std::vector<View<const float, 3>> views;
    for (const auto& f : flows) views.push_back({f.data(), {H, W, 2}});
    const auto actual = subsample(views, 2, 0, step);
    ASSERT_EQ(actual.size(), expected.data.size());
    errors.compare(name, actual.data(), expected.data, flow_rounding);
}

/// sum of keep * 2^(blocks * branch + block) for each step, as the golden's maskbits.
template <class B>
std::vector<float> mask_bits(const Recorder<B>& probe, int steps, int pixels) {
    std::vector<float> bits(std::size_t(steps) * std::size_t(pixels));
    std::vector<int> block(64, 0);
    for (std::size_t i = 0; i < probe.masks.size(); ++i) {
        const auto [branch, step] = probe.mask_place[i];
        int& b = block[std::size_t(branch * 16 + step)];
        for (int p = 0; p < pixels; ++p)
            bits[std::size_t((step - 1) * pixels + p)] += probe.masks[i][std::size_t(p)] * float(1 << (4 * branch + b));
        ++b;
    }
    return bits;
}

TYPED_TEST(MiaVsrGolden, WithMask) {
    const Golden golden("e2e_mia");
    GoldenRun<TypeParam, Masked> run;
    run.forward(clip_of(golden("lqs")));
    Errors errors("e2e_mia");
    compare_flows(errors, "flows_forward", run.probe.flows_forward, golden("flows_forward"), 64, 76, 1);
    compare_flows(errors, "flows_backward", run.probe.flows_backward, golden("flows_backward"), 64, 76, 1);
    for (int b = -1; b < 4; ++b)
        errors.compare(branch_names[b + 1], subsample(run.features(b, 64, 76), 4, 0, 1).data(),
                       golden(std::string("feat.") + branch_names[b + 1]).data, image_rounding);
    errors.compare("feat_full", subsample(Frames{run.features(3, 64, 76)[4]}, 24, 0, 1).data(),
                   golden("feat_full.forward_2.4").data, image_rounding);
    std::size_t at = 0;
    for (int b = 0; b < 4; ++b) {
        const auto expected = golden(std::string("mask.") + branch_names[b + 1]).data;  // (steps, blocks, H, W)
        for (int i = 0; i < 16; ++i, ++at)
            EXPECT_TRUE(
                std::equal(run.probe.masks[at].begin(), run.probe.masks[at].end(), expected.begin() + i * 64 * 76))
                << branch_names[b + 1] << " mask " << i;
    }
    errors.compare("out_sub", subsample(run.out_frames(), 3, 1, 3).data(), golden("out_sub").data, image_rounding);
    errors.compare_image("out.2", run.out_frames()[2], golden("out.2"), image_rounding);
}

TYPED_TEST(MiaVsrGolden, WithoutMask) {
    const Golden golden("e2e_nomask");
    GoldenRun<TypeParam, Unmasked> run(MaskTensors::optional);
    run.forward(clip_of(Golden("e2e_mia")("lqs"), 0, 3));
    Errors errors("e2e_nomask");
    errors.compare("backward_1.0", subsample(Frames{run.features(0, 64, 76)[0]}, 4, 0, 1).data(),
                   golden("feat.backward_1.0").data, image_rounding);
    errors.compare("forward_2.2", subsample(Frames{run.features(3, 64, 76)[2]}, 4, 0, 1).data(),
                   golden("feat.forward_2.2").data, image_rounding);
    errors.compare("out_sub", subsample(run.out_frames(), 3, 1, 3).data(), golden("out_sub").data, image_rounding);
}

TYPED_TEST(MiaVsrGolden, OneAndTwoFramesWithOneModel) {
    const Golden two("e2e_t2"), one("e2e_t1");
    GoldenRun<TypeParam, Masked> run;
    run.forward(clip_of(two("lqs")));
    {
        Errors errors("e2e_t2");
        for (int b = 0; b < 4; ++b)
            errors.compare(branch_names[b + 1], subsample(run.features(b, 65, 71), 2, 0, 3).data(),
                           two(std::string("feat.") + branch_names[b + 1]).data, image_rounding);
        compare_flows(errors, "flows_forward", run.probe.flows_forward, two("flows_forward"), 65, 71, 4);
        compare_flows(errors, "flows_backward", run.probe.flows_backward, two("flows_backward"), 65, 71, 4);
        EXPECT_EQ(mask_bits(run.probe, 1, 65 * 71), two("maskbits").data);
        errors.compare("out_sub", subsample(run.out_frames(), 3, 2, 5).data(), two("out_sub").data, image_rounding);
    }
    run.forward(clip_of(two("lqs"), 0, 1));  // nothing is left of the clip before
    Errors errors("e2e_t1");
    for (int b = 0; b < 4; ++b)
        errors.compare(branch_names[b + 1], subsample(run.features(b, 65, 71), 4, 0, 3).data(),
                       one(std::string("feat.") + branch_names[b + 1]).data, image_rounding);
    errors.compare("out_sub", subsample(run.out_frames(), 3, 2, 5).data(), one("out_sub").data, image_rounding);
}

TYPED_TEST(MiaVsrGolden, StillPictureWithOneMovingRectangle) {
    const Golden golden("e2e_long");
    const auto base = golden("base"), change = golden("change");
    Tensor<float, 4> lqs(7, 64, 65, 3);
    for (int t = 0; t < 7; ++t) {
        const auto picture = test::channels_last(base), part = test::channels_last(change, t);
        std::copy(picture.data(), picture.data() + picture.size(), lqs.view()[t].data);
        for (int y = 0; y < 40; ++y)
            for (int x = 0; x < 37; ++x)
                for (int c = 0; c < 3; ++c) lqs.view()(t, 12 + y, 20 + x, c) = part.view()(y, x, c);
    }
    GoldenRun<TypeParam, Masked> run;
    run.forward(lqs);
    Errors errors("e2e_long");
    EXPECT_EQ(mask_bits(run.probe, 6, 64 * 65), golden("maskbits").data);
    errors.compare("forward_2", subsample(run.features(3, 64, 65), 2, 0, 2).data(), golden("feat.forward_2").data,
                   image_rounding);
    errors.compare("out_sub", subsample(run.out_frames(), 3, 3, 7).data(), golden("out_sub").data, image_rounding);
}

TYPED_TEST(MiaVsrGolden, FirstSmallModelOnARealCrop) {
    const Golden golden("lite");
    GoldenRun<TypeParam, test::FirstSmall> run(MaskTensors::strict, 2, "lite_weights");
    run.forward(clip_of(golden("lqs")));
    const auto& probe = run.probe;
    Errors errors("lite");
    for (const bool forward : {true, false}) {  // integers: equal
        const auto expected = golden(forward ? "flows_forward" : "flows_backward");
        const auto& flows = forward ? probe.flows_forward : probe.flows_backward;
        for (int i = 0; i < 3; ++i) {
            const auto e = test::channels_last(expected, i);
            EXPECT_EQ(flows[std::size_t(i)], std::vector<float>(e.data(), e.data() + e.size())) << "flow " << i;
        }
    }
    for (int b = 0; b < 2; ++b)
        for (int step = 0; step < 4; ++step) {
            const int frame = b == 0 ? 3 - step : step;
            const auto& f = probe.kept[std::size_t(b + 1)][std::size_t(frame)];
            errors.compare_image<float>(branch_names[b + 1], {f.data(), {37, 53, 32}},
                                        golden(std::string("branch.") + branch_names[b + 1]), 1e-5, step);
        }
    for (int t = 0; t < 4; ++t) errors.compare_image<float>("out", run.out.view()[t], golden("out"), 1e-5, t);
}

#ifndef MIA_TEST_CUDA
TEST(MiaVsr, SameBytesForAnyNumberOfThreads) {
    const auto lqs = clip_of(Golden("e2e_t2")("lqs"));
    GoldenRun<Cpu, Masked> one(MaskTensors::strict, 1);
    one.forward(lqs);
    for (const int threads : {2, 3}) {
        GoldenRun<Cpu, Masked> more(MaskTensors::strict, threads);
        more.forward(lqs);
        EXPECT_EQ(0, std::memcmp(one.out.data(), more.out.data(), std::size_t(one.out.size()) * sizeof(float)))
            << threads;
    }
}

constexpr MiaVsrConfig with_kv_cache(MiaVsrConfig c) {
    c.kv_cache = true;
    return c;
}
template <class B>
using MaskedCached = MiaVsr<with_kv_cache(golden_config(MaskKind::learned)), B>;

TEST(MiaVsr, KeysAndValuesComputedOnceGiveTheSame) {
    const auto lqs = clip_of(Golden("lite")("lqs"));  // 4 frames
    GoldenRun<Cpu, Masked> each;
    GoldenRun<Cpu, MaskedCached> once;
    each.forward(lqs);
    once.forward(lqs);
    EXPECT_EQ(each.probe.masks, once.probe.masks);
    test::expect_near(std::vector<float>(once.out.data(), once.out.data() + once.out.size()),
                      test::Numbers(each.out.data(), each.out.data() + each.out.size()), 1e-6, "kv_cache");
    EXPECT_LT(once.backend.work().macs, each.backend.work().macs);
}
#endif

}  // namespace
}  // namespace mia
