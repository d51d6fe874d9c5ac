// A variant of MIA-VSR whose optical flow, attention and upsampler are types of this file. Each meets a concept of the
// library (OpticalFlow, BlockAttention, Upsampler) and plugs in through a list of parts; nothing is registered and
// nothing is derived from. The program assembles the model, fills it with seeded random weights, prints its summary,
// runs a synthetic clip and checks what it sees on the way.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <limits>
#include <random>

#include "mia/mia.hpp"

namespace variant {

using mia::View;

// An op of one's own. ---------------------------------------------------------------------------------------------
//
// A module works on every backend because it only calls ops. What the library's ops do not cover becomes an op: the
// same name and arguments once for each backend. BasicCpu<T> computes; BasicCount<T> stands for a run that only counts,
// it must not read or write the views. summary() and Session's memory_bytes() run the model on it.

/// The whole-pixel motion of the whole frame: the content of `ref` at p is found in `supp` at p + flow(p), the same
/// vector for all p. The smallest mean absolute difference over the pixels that both frames show wins, ties go to the
/// shorter motion. ref, supp: (H, W, 3); flow: (H, W, 2), x then y; |x|, |y| <= range < H, W.
template <class T>
void global_motion(mia::BasicCpu<T>& cpu, mia::In<T, 3> ref, mia::In<T, 3> supp, int range, View<float, 3> flow) {
    const int H = ref.extent(0), W = ref.extent(1), side = 2 * range + 1;
    // One cost for each vector. Each belongs to one piece of the loop, so the result does not depend on the threads.
    const auto scope = cpu.scope();
    const auto costs = cpu.template scratch<double>(side, side);
    cpu.parallel_for(side, 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (int row = int(begin); row < int(end); ++row)
            for (int column = 0; column < side; ++column) {
                const int dy = row - range, dx = column - range;
                double sum = 0;
                for (int y = std::max(0, -dy); y < std::min(H, H - dy); ++y)
                    for (int x = std::max(0, -dx); x < std::min(W, W - dx); ++x)
                        for (int c = 0; c < 3; ++c)
                            sum += std::abs(double(ref(y, x, c)) - double(supp(y + dy, x + dx, c)));
                costs(row, column) = sum / (double(H - std::abs(dy)) * (W - std::abs(dx)));
            }
    });
    int best_x = 0, best_y = 0;
    double best = std::numeric_limits<double>::infinity();
    for (int dy = -range; dy <= range; ++dy)
        for (int dx = -range; dx <= range; ++dx) {
            const double cost = costs(dy + range, dx + range);
            const bool shorter = dx * dx + dy * dy < best_x * best_x + best_y * best_y;
            if (cost < best || (cost == best && shorter)) {
                best = cost;
                best_x = dx;
                best_y = dy;
            }
        }
    for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
            flow(y, x, 0) = float(best_x);
            flow(y, x, 1) = float(best_y);
        }
}
template <class T>
void global_motion(mia::BasicCount<T>& count, mia::In<T, 3>, mia::In<T, 3>, int range, View<float, 3> flow) {
    const auto scope = count.scope();
    count.template scratch<double>(2 * range + 1, 2 * range + 1);
    count.record({"global_motion"}, flow);
}

// Flow: concept mia::OpticalFlow. ------------------------------------------------------------------------------------

/// A camera that pans. No parameters, so each_member lists none.
template <class B>
class GlobalMotion {
public:
    static constexpr const char* name = "global_motion";  // stands in the metadata of saved weights
    static constexpr int range = 4;
    static constexpr int least_size = 8;  // smaller frames are padded before they come here; more than the range

    void forward(B& backend, View<const typename B::Scalar, 3> ref, View<const typename B::Scalar, 3> supp,
                 View<float, 3> flow) const {
        global_motion(backend, ref, supp, range, flow);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};
static_assert(mia::OpticalFlow<GlobalMotion<mia::Cpu>, mia::Cpu>);

// Attention: concept mia::BlockAttention.
// ------------------------------------------------------------------------------

/// Queries from the current frame, keys and values from the frame before it alone: less than half of the published
/// attention's arithmetic. Composed of the library's ops, so the mask skips here as it does there. Parameters:
/// relative_position_bias_table ((2h - 1)(2w - 1), heads), q (C, C), kv (2C, C), proj (C, C).
template <mia::AttentionConfig C, class B>
class PreviousFrameAttention {
    static_assert(C.embed_dim % C.num_heads == 0, "PreviousFrameAttention: embed_dim must be a multiple of num_heads");

public:
    using Scalar = typename B::Scalar;
    static constexpr const char* name = "previous_frame";
    static constexpr int query_frames = 1;      // the frames of the stack that ask ...
    static constexpr int condition_frames = 1;  // ... and how many before them are handed in as `cond`

    /// cond, x: (1, H, W, C), both normed; rows: the active tokens of x -> y: (R, C), a row for each active token.
    void forward(B& backend, const mia::WindowGrid& grid, const mia::ActiveRows& rows, View<const Scalar, 4> cond,
                 View<const Scalar, 4> x, View<Scalar, 2> y) const {
        const auto scope = backend.scope();  // the scratch below is given back at the end
        constexpr int dim = C.embed_dim, N = C.window.tokens();
        // Keys and values: the previous frame's tokens, in those windows alone that hold an active token.
        const auto tokens = backend.scratch(grid.windows(), 1, N, dim);  // (windows, 1, N, C)
        const auto kv = backend.scratch(grid.windows(), N, 2 * dim);     // (windows, N, 2C)
        gather_windows(backend, grid, rows, cond.slice(0, 0), cond, tokens);
        kv_.forward(backend, rows_of(tokens), rows_of(kv), mia::Activation::none, {}, rows.windows(N));
        // Queries: the active tokens of the current frame.
        const int R = rows.pixel.extent(0);
        const auto active = backend.scratch(R, dim), q = backend.scratch(R, dim), attended = backend.scratch(R, dim);
        gather_rows(backend, rows_of(x), rows, active);
        q_.forward(backend, active, q, mia::Activation::none, {}, rows.rows());
        window_attention(backend, grid, rows, frames, C.num_heads, q, kv, packed_table_, attended);
        proj_.forward(backend, attended, y, mia::Activation::none, {}, rows.rows());
    }

    /// The table of position biases is used as the backend lays it out. prepare() calls this; a walk that could write
    /// the parameters calls the second, and window_attention() refuses a table that is not ready.
    void pack(B& backend) { pack_position_bias(backend, table_.view(), C.window, frames, packed_table_); }
    void drop_packing() { packed_table_.ready = false; }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("relative_position_bias_table", self.table_);
        visit("q", self.q_);
        visit("kv", self.kv_);
        visit("proj", self.proj_);
    }

private:
    static constexpr mia::WindowFrames frames{.keys = 1, .queries = 1};
    static constexpr mia::LinearConfig square{.in_features = C.embed_dim, .out_features = C.embed_dim};
    static constexpr mia::LinearConfig twice{.in_features = C.embed_dim, .out_features = 2 * C.embed_dim};

    mia::Parameter<B, mia::bias_rows_in_time(frames) * C.window.offsets(), C.num_heads> table_;
    mia::Linear<square, B> q_;
    mia::Linear<twice, B> kv_;
    mia::Linear<square, B> proj_;
    mia::PackedPositionBias<B> packed_table_;
};
static_assert(mia::BlockAttention<PreviousFrameAttention<mia::AttentionConfig{}, mia::Cpu>, mia::Cpu>);

// Upsampler: concept mia::Upsampler.
// -----------------------------------------------------------------------------------

/// Twice the same step by 2, with the same weights: convolution C -> 4C, leaky ReLU, pixel shuffle. Then a convolution
/// C -> 3, plus the frame, bilinear. Parameters: up, last.
template <mia::UpsamplerConfig C, class B>
class SharedStepUpsampler {
    static_assert(C.scale == 4, "SharedStepUpsampler: two steps by 2 are a scale of 4");
    static constexpr int dim = C.embed_dim;

public:
    using Scalar = typename B::Scalar;
    static constexpr const char* name = "shared_step";

    /// features: (H, W, C), frame: (H, W, 3) -> out: (4H, 4W, 3).
    void forward(B& backend, View<const Scalar, 3> features, View<const Scalar, 3> frame, View<Scalar, 3> out) const {
        const auto scope = backend.scope();
        for (int step = 0; step < 2; ++step) {
            const int H = features.extent(0), W = features.extent(1);
            const auto wide = backend.scratch(H, W, 4 * dim), next = backend.scratch(2 * H, 2 * W, dim);
            up_.forward(backend, features, wide, mia::Activation::leaky_relu);
            shuffle_.forward(backend, wide, next);
            features = next;
        }
        const auto base = backend.scratch(out.extent(0), out.extent(1), 3);
        resize_bilinear(backend, frame, mia::Corners::apart, base);
        last_.forward(backend, features, out, mia::Activation::none, base);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("up", self.up_);
        visit("shuffle", self.shuffle_);
        visit("last", self.last_);
    }

private:
    mia::Conv2d<mia::Conv2dConfig{.in_channels = dim, .out_channels = 4 * dim}, B> up_;
    mia::PixelShuffle<2, B> shuffle_;
    mia::Conv2d<mia::Conv2dConfig{.in_channels = dim, .out_channels = 3}, B> last_;
};
static_assert(mia::Upsampler<SharedStepUpsampler<mia::UpsamplerConfig{}, mia::Cpu>, mia::Cpu>);

// The model.
// -----------------------------------------------------------------------------------------------------------

/// The parts; what is not named here, the alignment, is as published.
struct Parts : mia::PublishedParts {
    template <mia::AttentionConfig C, class B>
    using Attention = PreviousFrameAttention<C, B>;
    template <class B>
    using Flow = GlobalMotion<B>;
    template <mia::UpsamplerConfig C, class B>
    using Upsampler = SharedStepUpsampler<C, B>;
};

/// Two frames in a window: the current one and the one before it. No look-ahead. The mask is learned.
constexpr mia::MiaVsrConfig config{.embed_dim = 24,
                                   .num_heads = 2,
                                   .window = {2, 8, 8},
                                   .depths = {{2}},
                                   .directions = mia::directions(mia::Direction::forward)};
using Model = mia::MiaVsr<config, mia::Cpu, Parts>;

/// Seeded weights as large as trained ones are: deviation 1 / sqrt(fan in); norms near the identity.
void randomize(Model& model, unsigned seed) {
    std::mt19937 random(seed);
    mia::for_each_parameter(model, [&](const std::string& name, const auto& parameter) {
        double fan_in = 1;
        for (std::size_t axis = 1; axis < parameter.shape.size(); ++axis) fan_in *= parameter.shape[axis];
        const bool vector = parameter.shape.size() == 1;
        const bool norm = name.ends_with("weight") && vector;  // the only weights of one axis are those of norms
        std::normal_distribution<float> value(norm ? 1.0f : 0.0f, vector ? 0.1f : float(1 / std::sqrt(fan_in)));
        for (std::ptrdiff_t i = 0; i < parameter.size; ++i) parameter.data[i] = value(random);
    });
}

constexpr int motion_x = 2, motion_y = -1;  ///< of the camera, in pixels a frame

/// (T, H, W, 3) in [0, 1]: a camera pans over a pattern. What frame t shows at p, frame t + 1 shows at p - motion.
mia::Tensor<float, 4> synthetic_clip(int T, int H, int W) {
    mia::Tensor<float, 4> clip(T, H, W, 3);
    for (int t = 0; t < T; ++t)
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x)
                for (int c = 0; c < 3; ++c) {
                    const double u = x + t * motion_x, v = y + t * motion_y;
                    clip.view()(t, y, x, c) = float(0.5 + 0.2 * std::sin(0.31 * u + 0.17 * v + c) +
                                                    0.2 * std::cos(0.13 * u - 0.41 * v + 0.02 * u * v));
                }
    return clip;
}

/// Sees the flows and the masks of a run. What a probe does not hide costs nothing.
struct Watch : mia::NoProbe {
    int wrong_flows = 0, flows = 0;
    std::int64_t kept = 0, asked = 0;

    void flow(int from, int to, const View<const float, 3>& flow) {
        ++flows;
        const float sign = float(from - to);  // forward in time the content moves against the camera
        wrong_flows += flow(0, 0, 0) != sign * motion_x || flow(0, 0, 1) != sign * motion_y;
    }
    void mask(View<const std::uint8_t, 3> keep) {  // empty in the first step, where every token is computed
        asked += keep.data ? keep.size() : 0;
        for (std::ptrdiff_t i = 0; keep.data && i < keep.size(); ++i) kept += keep.data[i] != 0;
    }
};

int run() {
    constexpr int T = 6, H = 40, W = 56;
    std::fputs(mia::summary<Model>(H, W).text().c_str(), stdout);

    mia::Cpu cpu(2);
    mia::Network<Model> model(cpu);
    randomize(*model, 1);
    prepare(cpu, *model);  // packs the weights for the kernels

    const auto clip = synthetic_clip(T, H, W);
    mia::Tensor<float, 4> out(T, Model::scale * H, Model::scale * W, 3);
    Watch watch;
    Model::State state;
    model->forward(cpu, clip, out, state, watch);

    const auto finite = [](float x) { return std::isfinite(x); };
    const bool all_finite = std::all_of(out.data(), out.data() + out.size(), finite);
    const mia::WorkCount work = cpu.work();
    std::printf("%d frames of %d x %d became %d x %d\n", T, W, H, out.extent(2), out.extent(1));
    std::printf("flow: %d of %d motions found\n", watch.flows - watch.wrong_flows, watch.flows);
    std::printf("mask: %.0f %% of the tokens asked about were kept; %.3f of %.3f GMAC done\n",
                100.0 * double(watch.kept) / double(watch.asked), double(work.macs) / 1e9,
                double(work.dense_macs) / 1e9);
    return all_finite && watch.wrong_flows == 0 && work.macs < work.dense_macs ? 0 : 1;
}

}  // namespace variant

int main() {
    try {
        return variant::run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
