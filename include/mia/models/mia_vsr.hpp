#pragma once
#include <array>
#include <string>

#include "mia/models/flow.hpp"
#include "mia/models/propagation.hpp"
#include "mia/models/upsampler.hpp"
#include "mia/ops/pad/pad.hpp"

namespace mia {

/// The published model by default (REDS, Vimeo-90K, x4).
struct MiaVsrConfig {
    int embed_dim = 120;
    int num_heads = 6;
    WindowSize window = {3, 8, 8};  ///< frames - 1 earlier frames are looked at
    Depths depths = {{6, 6, 6, 6}};
    int mlp_ratio = 2;
    bool qkv_bias = true;
    Directions directions =
        mia::directions(Direction::backward, Direction::forward, Direction::backward, Direction::forward);
    MaskConfig mask = {};
    Fusion fusion = Fusion::none;
    int mid_channels = 64;
    int scale = 4;
    BlockKernel kernel = BlockKernel::fused;
    /// Keys and values of an enhanced frame are computed once, when it is made, and moved to where later frames see its
    /// tokens, in the place of features: 2 C^2 of 12 C^2 + 384 C multiply-adds less (dense, published window), the
    /// same numbers to rounding, and 4 C numbers more a pixel and block in the State. For alignments that move whole
    /// tokens (TokenGather), where blocks are fused; else without effect. docs/benchmarks.md has the gain.
    bool kv_cache = false;

    constexpr AttentionConfig attention() const { return {embed_dim, num_heads, window, qkv_bias}; }
    constexpr BlockConfig block() const { return {attention(), mlp_ratio, mask, kernel}; }
    constexpr SwinIrfmConfig branch() const { return {block(), depths, fusion, kv_cache}; }
    constexpr UpsamplerConfig upsampler() const { return {embed_dim, mid_channels, scale}; }
};

/// The parts that a variant may replace, as published. A variant derives from it and names its own:
///   struct MyParts : PublishedParts { template <class B> using Flow = BlockMatching<B>; };
struct PublishedParts {
    template <AttentionConfig C, class B>
    using Attention = InterFrameAttention<C, B>;
    template <class B>
    using Flow = SpyNet<SpyNetConfig{}, B>;
    template <class B>
    using Alignment = PatchAlignment<B>;
    template <UpsamplerConfig C, class B>
    using Upsampler = TwoStepUpsampler<C, B>;
};

/// MIA-VSR (Zhou, Zhang, Zhao, Wang, Li, Gu: Video Super-Resolution Transformer with Masked Inter&Intra-Frame
/// Attention, CVPR 2024), and every variant of it that config and parts describe. Parameter names are the official
/// checkpoint's.
template <MiaVsrConfig C, Backend B = Cpu, class Parts = PublishedParts>
class MiaVsr {
    template <AttentionConfig A, class Back>
    using Attention = typename Parts::template Attention<A, Back>;

public:
    using Flow = typename Parts::template Flow<B>;
    using Alignment = typename Parts::template Alignment<B>;
    using Upsample = typename Parts::template Upsampler<C.upsampler(), B>;
    using AttentionOfBlock = Attention<C.attention(), B>;

private:
    using Branch = SwinIrfm<C.branch(), B, Attention>;
    static_assert(C.directions.count >= 1,
                  "MiaVsr: .directions must list at least one branch; use directions(Direction::forward)");
    static_assert(OpticalFlow<Flow, B>, "MiaVsr: Parts::Flow does not meet the concept OpticalFlow");
    static_assert(FeatureAlignment<Alignment, B>,
                  "MiaVsr: Parts::Alignment does not meet the concept FeatureAlignment");
    static_assert(C.embed_dim % channel_divisor<Alignment>() == 0,
                  "MiaVsr: Parts::Alignment needs embed_dim to be a multiple of its channel_divisor; "
                  "SubpixelAlignment<4, B> of 16, so take 48, 64 or 96, or another alignment");
    static_assert(!C.kv_cache || (TokenGather<Alignment, B> && C.embed_dim != 64 && C.window.frames > 1),
                  "MiaVsr: .kv_cache needs an alignment that moves whole tokens, as PatchAlignment, an "
                  "earlier frame, and embed_dim other than 64, whose conv_first_feat comes after the alignment");
    static_assert(Upsampler<Upsample, B>, "MiaVsr: Parts::Upsampler does not meet the concept Upsampler");

public:
    using Scalar = typename B::Scalar;
    using BackendType = B;
    template <class Other>
    using On = MiaVsr<C, Other, Parts>;  ///< the same model on another backend
    /// As C. At run time arrays are read from here: clang 14 looks for a template parameter's in the wrong place.
    static constexpr MiaVsrConfig config = C;
    static constexpr int scale = C.scale;
    static constexpr int least_size =
        Flow::least_size;  ///< smaller frames are padded by repeating the edge, the result cropped
    static constexpr bool uses_backward_flow = C.directions.has(Direction::backward);  ///< then it looks ahead
    static constexpr bool uses_forward_flow = C.directions.has(Direction::forward);
    static constexpr int branches = C.directions.count;

    /// What the recurrence carries inside a branch; kept by the caller only to save its memory from clip to clip.
    using State = typename Branch::State;

    /// What a running clip carries from frame to frame, for a model without look-ahead; see step().
    struct Stream {
        int steps = 0;  ///< frames so far
        std::array<typename Branch::State, std::size_t(branches)> state;
        Tensor<Pixel<B>, 3, B> frame, next_frame;                         ///< the last one, and room to change over
        Tensor<float, 4, B> flows;                                        ///< of the last steps, in turn
        std::array<Tensor<Scalar, 4, B>, std::size_t(branches)> results;  ///< likewise
    };

    /// A clip whose results are taken one by one: begin(), then next() for each of them. Its arrays are scratch, of the
    /// scope that is open at begin(); clip and given flows stay the caller's.
    struct ClipRun {
        View<const Pixel<B>, 4> frames;  ///< of the clip, padded where they are too small
        ClipFlows flows;                 ///< of all pairs of frames
        View<const Scalar, 4> features;  ///< (T, H, W, C), results of the last branch that went over the whole clip
        View<Scalar, 3> first;           ///< of conv_first, for the frame at hand
        std::array<View<Scalar, 3>, std::size_t(C.window.frames)> results;  ///< of a last branch in step, in turn
        int steps = 0;                                                      ///< of that branch so far
        int frame = 0, end = 0;                                             ///< of the next result, and after the last
        int height = 0, width = 0;                                          ///< of a result
    };

    /// lqs: (T, H, W, 3) RGB in [0, 1], any T, H, W >= 1 -> out: (N, scale H, scale W, 3), the results of frames first
    /// ... first + N - 1, neither clamped nor rounded; what only the other frames need is left out. Each clip is on its
    /// own.
    template <class Probe = NoProbe>
    void forward(B& backend, View<const Pixel<B>, 4> lqs, View<Pixel<B>, 4> out, State& state, Probe&& probe = {},
                 int first = 0) const {
        check(lqs, first, out);
        const auto scope = backend.scope();
        ClipRun run;
        begin(backend, lqs, first, out.extent(0), run, state, probe);
        for (int n = 0; n < out.extent(0); ++n) next(backend, run, out[n], state, probe);
    }
    void forward(B& backend, View<const Pixel<B>, 4> lqs, View<Pixel<B>, 4> out) const {
        State state;
        forward(backend, lqs, out, state);
    }

    /// With the flows given; H, W >= 5 (patch alignment's least).
    template <class Probe = NoProbe>
    void forward(B& backend, View<const Pixel<B>, 4> lqs, const ClipFlows& flows, View<Pixel<B>, 4> out, State& state,
                 Probe&& probe = {}, int first = 0) const {
        check(lqs, first, out);
        check_flow(lqs, flows.backward, uses_backward_flow, "backward");
        check_flow(lqs, flows.forward, uses_forward_flow, "forward");
        const auto scope = backend.scope();
        ClipRun run;
        run.frames = lqs;
        run.flows = flows;
        run_branches(backend, first, shape_of_results(lqs, out.extent(0)), run, state, probe);
        for (int n = 0; n < out.extent(0); ++n) next(backend, run, out[n], state, probe);
    }

    /// Begins forward() for the results of frames first ... first + results - 1: computes what must be known of the
    /// whole clip. A last branch that goes forward keeps step with the results, so only its last few frames are held.
    template <class Probe = NoProbe>
    void begin(B& backend, View<const Pixel<B>, 4> lqs, int first, int results, ClipRun& run, State& state,
               Probe&& probe = {}) const {
        const auto shape = shape_of_results(lqs, results);
        check(lqs, first, shape);
        const int H = std::max(lqs.extent(1), least_size), W = std::max(lqs.extent(2), least_size);
        run.frames = pad(backend, lqs, H, W);
        const int pairs = lqs.extent(0) - 1;
        const auto backward = backend.template scratch<float>(uses_backward_flow ? pairs : 0, H, W, 2);
        const auto onward = backend.template scratch<float>(uses_forward_flow ? pairs : 0, H, W, 2);
        flows(backend, run.frames, backward, onward, probe);
        run.flows = {backward, onward};
        run_branches(backend, first, shape, run, state, probe);
    }

    /// The next result of a clip that was begun with the same state -> out: (scale H, scale W, 3).
    template <class Probe = NoProbe>
    void next(B& backend, ClipRun& run, View<Pixel<B>, 3> out, State& state, Probe&& probe = {}) const {
        require(run.frame < run.end, "MiaVsr: all results of the clip were taken; begin() another");
        const auto scope = backend.scope();
        require(out.extent(0) == run.height && out.extent(1) == run.width && out.extent(2) == 3,
                "MiaVsr: the result for frame ", run.frame, " has shape ", shape_text(out), "; give (", run.height,
                ", ", run.width, ", 3)");
        if constexpr (results_in_step) last_branch_step(backend, run, state, probe);
        const View<const Scalar, 3> features = results_in_step
                                                   ? View<const Scalar, 3>(run.results[std::size_t(place(run.frame))])
                                                   : run.features[run.frame];
        const auto frame = run.frames[run.frame];
        const int H = scale * frame.extent(0), W = scale * frame.extent(1);
        const bool padded = H != run.height || W != run.width;
        const auto whole = padded ? backend.template scratch<Pixel<B>>(H, W, 3) : out;
        upsampler_.forward(backend, features, frame, whole);
        if (padded) crop_image(backend, whole, out);
        probe.result(run.frame, out);
        ++run.frame;
    }

    /// The flows that forward() computes. lqs: (T, H, W, 3), H, W >= least_size -> backward, forward: (T - 1, H, W, 2),
    /// each only where some branch uses it (uses_backward_flow, uses_forward_flow).
    template <class Probe = NoProbe>
    void flows(B& backend, View<const Pixel<B>, 4> lqs, View<float, 4> backward, View<float, 4> forward,
               Probe&& probe = {}) const {
        for (int i = 0; i + 1 < lqs.extent(0); ++i) {
            if constexpr (uses_backward_flow) {
                flow_.forward(backend, lqs[i], lqs[i + 1], backward[i]);
                probe.flow(i, i + 1, View<const float, 3>(backward[i]));
            }
            if constexpr (uses_forward_flow) {
                flow_.forward(backend, lqs[i + 1], lqs[i], forward[i]);
                probe.flow(i + 1, i, View<const float, 3>(forward[i]));
            }
        }
    }

    /// The next frame of a running clip, for models all of whose branches go forward: lq (H, W, 3) -> out (scale H,
    /// scale W, 3), the same numbers as forward() gives for the whole clip. `stream.steps = 0` begins a new clip; all
    /// frames of one have the same size.
    template <class Probe = NoProbe>
    void step(B& backend, View<const Pixel<B>, 3> lq, View<Pixel<B>, 3> out, Stream& stream, Probe&& probe = {}) const {
        static_assert(!uses_backward_flow, "MiaVsr: step() is for models without look-ahead; a branch goes backward");
        const View<const Pixel<B>, 4> clip{lq.data, {1, lq.extent(0), lq.extent(1), lq.extent(2)}};
        check(clip, 0, {out.data, {1, out.extent(0), out.extent(1), out.extent(2)}});
        const auto scope = backend.scope();
        const int H = std::max(lq.extent(0), least_size), W = std::max(lq.extent(1), least_size);
        constexpr int frames = C.window.frames;
        const int step = stream.steps;
        require(step == 0 || (stream.frame.extent(0) == H && stream.frame.extent(1) == W), "MiaVsr: frame ", step,
                " of the clip is ", lq.extent(1), " x ", lq.extent(0),
                ", another size than those before it. Set stream.steps = 0 to begin a new clip.");
        stream.next_frame.resize(backend, H, W, 3);
        stream.flows.resize(backend, frames, H, W, 2);
        const View<const Pixel<B>, 3> frame = stream.next_frame.view();
        pad_replicate(backend, lq, stream.next_frame.view());
        if (step > 0) {
            const auto flow = stream.flows.view()[place(step)];
            flow_.forward(backend, frame, View<const Pixel<B>, 3>(stream.frame.view()), flow);
            probe.flow(step, step - 1, View<const float, 3>(flow));
        }
        const auto first = backend.scratch(H, W, C.embed_dim);
        first_features(backend, frame, first);
        probe.features(-1, step, first);
        View<const Scalar, 3> features = first;
        for (int i = 0; i < branches; ++i) {
            auto& results = stream.results[std::size_t(i)];
            results.resize(backend, frames, H, W, C.embed_dim);
            const auto result = results.view()[place(step)];
            probe.step(i, step, step);
            propagate_step(
                backend, branches_[std::size_t(i)], alignment_, step, frames, features,
                [&](int age) { return View<const Scalar, 3>(results.view()[place(step - age)]); },
                [&](int age) { return View<const float, 3>(stream.flows.view()[place(step - age + 1)]); },
                stream.state[std::size_t(i)], result, probe);
            probe.features(i, step, result);
            features = result;
        }
        const bool padded = H != lq.extent(0) || W != lq.extent(1);
        const auto whole = padded ? backend.template scratch<Pixel<B>>(scale * H, scale * W, 3) : out;
        upsampler_.forward(backend, features, frame, whole);
        if (padded) crop_image(backend, whole, out);
        probe.result(step, out);
        std::swap(stream.frame, stream.next_frame);
        ++stream.steps;
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("conv_first", self.conv_first_);
        visit(flow_name(), self.flow_);
        visit("alignment", self.alignment_);
        for (int i = 0; i < branches; ++i)
            visit(std::string("patch_align.").append(config.directions.name(i)), self.branches_[std::size_t(i)]);
        visit("", self.upsampler_);
    }

    /// The same model on the backend that counts, its blocks computed as here: tells beforehand what this one takes.
    static constexpr MiaVsrConfig as_computed = [] {
        MiaVsrConfig config = C;
        if (!has_fused_block<B>) config.kernel = BlockKernel::composed;
        return config;
    }();
    using Counted = MiaVsr<as_computed, BasicCount<Scalar>, Parts>;

private:
    /// Whether the last branch goes forward, so that each of its steps ends in a result.
    static constexpr bool results_in_step = C.directions.value[C.directions.count - 1] == Direction::forward;
    /// Of a step's result among the last ones.
    static constexpr int place(int step) { return step % C.window.frames; }

    /// SpyNet's is the checkpoint's; the library's other flows have no parameters.
    static constexpr const char* flow_name() {
        if constexpr (requires { Flow::name; })
            return Flow::name;
        else
            return "flow";
    }

    static void check(View<const Pixel<B>, 4> lqs, int first, View<Pixel<B>, 4> out) {
        const int T = lqs.extent(0), H = lqs.extent(1), W = lqs.extent(2), N = out.extent(0);
        require(T >= 1 && H >= 1 && W >= 1 && lqs.extent(3) == 3, "MiaVsr: a clip of shape ", shape_text(lqs),
                " came in; give (frames, height, width, 3), each at least 1, RGB in [0, 1]");
        require(first >= 0 && N >= 1 && N <= T - first && out.extent(1) == scale * H && out.extent(2) == scale * W &&
                    out.extent(3) == 3,
                "MiaVsr: the result for frames from ", first, " on has shape ", shape_text(out),
                "; for this clip give (", T - first, " or fewer, ", scale * H, ", ", scale * W, ", 3)");
    }
    static View<Pixel<B>, 4> shape_of_results(View<const Pixel<B>, 4> lqs, int results) {
        return {nullptr, {results, scale * lqs.extent(1), scale * lqs.extent(2), 3}};
    }
    static void check_flow(View<const Pixel<B>, 4> lqs, View<const float, 4> flow, bool used, const char* name) {
        if (!used) return;
        require(flow.extent(0) == lqs.extent(0) - 1 && flow.extent(3) == 2 &&
                    (flow.extent(0) == 0 || (flow.extent(1) == lqs.extent(1) && flow.extent(2) == lqs.extent(2))),
                "MiaVsr: the ", name, " flows have shape ", shape_text(flow), "; give (", lqs.extent(0) - 1, ", ",
                lqs.extent(1), ", ", lqs.extent(2), ", 2)");
    }

    static View<const Pixel<B>, 4> pad(B& backend, View<const Pixel<B>, 4> lqs, int H, int W) {
        if (H == lqs.extent(1) && W == lqs.extent(2)) return lqs;
        const auto padded = backend.template scratch<Pixel<B>>(lqs.extent(0), H, W, 3);
        for (int t = 0; t < lqs.extent(0); ++t) pad_replicate(backend, lqs[t], padded[t]);
        return padded;
    }

    void first_features(B& backend, View<const Pixel<B>, 3> frame, View<Scalar, 3> features) const {
        const auto scope = backend.scope();
        conv_first_.forward(backend, as_elements<Scalar>(backend, frame), features);
    }

    /// What `branch` goes over, for one frame: the features of conv_first, made now, or the result of the branch
    /// before.
    template <class Probe>
    View<const Scalar, 3> branch_input(B& backend, int branch, int frame, ClipRun& run, Probe&& probe) const {
        if (branch > 0) return run.features[frame];
        run.first = reused(backend, run.first);
        first_features(backend, run.frames[frame], run.first);
        probe.features(-1, frame, run.first);
        return run.first;
    }

    /// All branches, but of a last one that goes forward only the steps before the first result.
    template <class Probe>
    void run_branches(B& backend, int first, View<Pixel<B>, 4> out, ClipRun& run, State& state, Probe&& probe) const {
        constexpr int whole = branches - (results_in_step ? 1 : 0);
        const int T = run.frames.extent(0), H = run.frames.extent(1), W = run.frames.extent(2);
        run.frame = first;
        run.end = first + out.extent(0);
        run.height = out.extent(1);
        run.width = out.extent(2);
        run.first = backend.scratch(H, W, C.embed_dim);
        // Of each branch's result, the frames that the next one reads.
        std::array<int, std::size_t(branches)> steps;
        int begin = run.frame, end = run.end;
        for (int i = branches; i-- > 0;) {
            const bool onward = config.directions.value[i] == Direction::forward;
            (onward ? begin : end) = onward ? 0 : T;
            steps[std::size_t(i)] = end - begin;
        }
        std::array<View<Scalar, 4>, 2> features;  // a branch reads one and writes the other
        for (int i = 0; i < whole; ++i) {
            auto& result = features[std::size_t(i % 2)];
            result = i < 2 ? backend.scratch(T, H, W, C.embed_dim) : reused(backend, result);
            const Direction direction = config.directions.value[i];
            propagate(
                backend, branches_[std::size_t(i)], alignment_, i, direction, steps[std::size_t(i)], C.window.frames,
                [&](int frame) { return branch_input(backend, i, frame, run, probe); },
                direction == Direction::forward ? run.flows.forward : run.flows.backward, state, result, probe);
            run.features = result;
        }
        if constexpr (results_in_step) {
            for (auto& result : run.results) result = backend.scratch(H, W, C.embed_dim);
            run.steps = 0;
            while (run.steps < first) last_branch_step(backend, run, state, probe);
        }
    }

    template <class Probe>
    void last_branch_step(B& backend, ClipRun& run, State& state, Probe&& probe) const {
        const int step = run.steps++;
        auto& result = run.results[std::size_t(place(step))];
        result = reused(backend, result);
        const auto in = branch_input(backend, branches - 1, step, run, probe);
        probe.step(branches - 1, step, step);
        propagate_step(
            backend, branches_.back(), alignment_, step, C.window.frames, in,
            [&](int age) { return View<const Scalar, 3>(run.results[std::size_t(place(step - age))]); },
            [&](int age) { return run.flows.forward[step - age]; }, state, result, probe);
        probe.features(branches - 1, step, result);
    }

    Conv2d<Conv2dConfig{.in_channels = 3, .out_channels = C.embed_dim}, B> conv_first_;
    Flow flow_;
    Alignment alignment_;
    std::array<Branch, std::size_t(branches)> branches_;
    Upsample upsampler_;
};

/// The paper's models, by their parameter counts 16.5, 6.3 and 4.8 million.
inline constexpr MiaVsrConfig mia_vsr_base{};
inline constexpr MiaVsrConfig mia_vsr_small{.depths = {{6}}};
inline constexpr MiaVsrConfig mia_vsr_tiny{.embed_dim = 96, .depths = {{6}}};

template <Backend B = Cpu>
using MiaVsrBase = MiaVsr<mia_vsr_base, B>;
template <Backend B = Cpu>
using MiaVsrSmall = MiaVsr<mia_vsr_small, B>;
template <Backend B = Cpu>
using MiaVsrTiny = MiaVsr<mia_vsr_tiny, B>;

/// The small model that programs use by default: fast enough for video on a processor.
inline constexpr MiaVsrConfig mia_vsr_lite{.embed_dim = 48,
                                           .num_heads = 3,
                                           .window = {3, 4, 4},
                                           .depths = {{2}},
                                           .directions = directions(Direction::backward, Direction::forward),
                                           .fusion = Fusion::linear,
                                           .mid_channels = 48};
struct LiteParts : PublishedParts {
    template <class B>
    using Flow = BlockMatching<B, MatchPrecision::quarter>;
    template <class B>
    using Alignment = SubpixelAlignment<4, B>;
    template <UpsamplerConfig C, class B>
    using Upsampler = OneStepUpsampler<C, B>;
};
template <Backend B = Cpu>
using MiaVsrLite = MiaVsr<mia_vsr_lite, B, LiteParts>;

}  // namespace mia
