#pragma once
#include <atomic>
#include <new>
#include <type_traits>
#include <utility>

#include "mia/core/cpu.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/fused_block/fused_block.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/ops/panel_product.hpp"

namespace mia {

template <class T>
inline constexpr bool has_fused_block<BasicCpu<T>> = true;

/// Made once from the parameters; the softmax scale is folded into q.
template <class T>
struct PackedBlock<BasicCpu<T>> {
    BlockShape shape{};
    PackedRows<T> kv, q, proj, fc1, fc2;
    HostBuffer<T> norms;      ///< norm1 weight, bias, norm2 weight, bias, predictor: C each
    HostBuffer<T> by_query;   ///< (heads, queries, keys) bias, for windows whose active tokens are picked
    HostBuffer<T> by_offset;  ///< (heads, frames, key column, row offset, query column): a key's biases are neighbours
    HostBuffer<int> offset;   ///< (keys), where they begin
    std::ptrdiff_t offset_size = 0;
    BlockMask mask = BlockMask::none;
    float threshold = 0;
    T predictor_bias = 0;
    bool ready = false;

    const T* norm(int which) const { return norms.data() + which * shape.dim; }
};

template <class T>
void pack_block(BasicCpu<T>&, const BlockShape& shape, const BlockParameters<T>& p, PackedBlock<BasicCpu<T>>& packed) {
    const int C = shape.dim, N = shape.keys(), Q = shape.window.tokens(), heads = shape.num_heads;
    packed.shape = shape;
    packed.mask = p.mask;
    packed.threshold = p.threshold;
    const auto rows = [](View<const T, 2> weight, int first) {
        return [=](int m, int k) { return weight(first + m, k); };
    };
    const auto bias = [](View<const T, 1> b, int first) { return [=](int m) { return b.data ? b[first + m] : T(0); }; };
    packed.q.pack(C, C, T(1 / std::sqrt(double(C / heads))), rows(p.qkv_weight, 0), bias(p.qkv_bias, 0));
    packed.kv.pack(2 * C, C, T(1), rows(p.qkv_weight, C), bias(p.qkv_bias, C));
    packed.proj.pack(C, C, T(1), rows(p.proj_weight, 0), bias(p.proj_bias, 0));
    packed.fc1.pack(shape.hidden, C, T(1), rows(p.fc1_weight, 0), bias(p.fc1_bias, 0));
    packed.fc2.pack(C, shape.hidden, T(1), rows(p.fc2_weight, 0), bias(p.fc2_bias, 0));
    packed.norms.reserve(std::size_t(5 * C));
    const T* parts[] = {p.norm1_weight.data, p.norm1_bias.data, p.norm2_weight.data, p.norm2_bias.data,
                        p.mask == BlockMask::learned ? p.predictor_weight.data : nullptr};
    for (int i = 0; i < 5; ++i)
        for (int c = 0; c < C; ++c) packed.norms.data()[i * C + c] = parts[i] ? parts[i][c] : T(1);
    packed.predictor_bias = p.mask == BlockMask::learned ? p.predictor_bias[0] : T(0);

    packed.by_query.reserve(std::size_t(heads) * Q * N);
    for (int h = 0; h < heads; ++h)
        for (int query = 0; query < Q; ++query)
            for (int key = 0; key < N; ++key)
                packed.by_query.data()[(std::size_t(h) * Q + query) * N + key] =
                    p.bias_table(relative_position_index(shape.window, shape.frames(), query, key), h);

    // For a key at row yk the queries' biases are Q neighbours, beginning at row offset height - 1 - yk.
    const int wh = shape.window.height, ww = shape.window.width, offsets_y = 2 * wh - 1;
    packed.offset_size = std::ptrdiff_t(shape.condition_frames + 1) * ww * offsets_y * ww;
    const std::size_t slack = simd::panel_vectors * simd::lanes<T>;  // a vector may reach beyond the last query
    packed.by_offset.reserve(std::size_t(heads) * packed.offset_size + slack);
    std::fill_n(packed.by_offset.data(), std::size_t(heads) * packed.offset_size + slack, T(0));
    for (int h = 0; h < heads; ++h)
        for (int i = 0; i < packed.offset_size; ++i) {
            const int xq = i % ww, dy = i / ww % offsets_y, xk = i / (ww * offsets_y) % ww,
                      tk = i / (ww * offsets_y * ww);
            const int row =
                (shape.condition_frames - tk) * shape.window.offsets() + dy * (2 * ww - 1) + xq - xk + ww - 1;
            packed.by_offset.data()[h * packed.offset_size + i] = p.bias_table(row, h);
        }
    packed.offset.reserve(std::size_t(N));
    for (int key = 0; key < N; ++key) {
        const int xk = key % ww, yk = key / ww % wh, tk = key / (ww * wh);
        packed.offset.data()[key] = ((tk * ww + xk) * offsets_y + wh - 1 - yk) * ww;
    }
    packed.ready = true;
}

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// One worker's way through a window inside the L2 cache: tokens in lanes from the gather to the scatter, so that
/// linear maps broadcast weights, and LayerNorm, softmax and GELU are vertical. Masked tokens are dropped when the
/// window is gathered: skipping is a smaller number of vectors.
template <class T>
class BlockWorker {
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes;

public:
    static std::size_t scratch_bytes(const BlockShape& s) {
        const std::ptrdiff_t C = s.dim, N = s.keys(), Q = padded(s.window.tokens());
        return std::size_t((Q * C) * 7 + 2 * C * (N + width) + width * s.hidden + 2 * N * width + Q) * sizeof(T) +
               std::size_t(5 * Q) * sizeof(int) + 16 * cache_line;
    }

    BlockWorker(const PackedBlock<BasicCpu<T>>& block, const WindowGrid& grid, Arena& arena)
        : w_(block),
          s_(block.shape),
          grid_(grid),
          C_(s_.dim),
          N_(s_.keys()),
          Q_(s_.window.tokens()),
          kv_stride_(N_ + width) {
        const std::ptrdiff_t Q = padded(Q_), C = C_;
        const auto take = [&](std::ptrdiff_t n) { return static_cast<T*>(arena.take(std::size_t(n) * sizeof(T))); };
        const auto take_ints = [&](std::ptrdiff_t n) {
            return static_cast<int*>(arena.take(std::size_t(n) * sizeof(int)));
        };
        raw_ = take(Q * C), current_ = take(Q * C), earlier_ = take(Q * C), normed_ = take(Q * C), query_ = take(Q * C);
        heads_ = take(Q * C), residual_ = take(Q * C);
        kv_ = take(2 * C * kv_stride_);
        hidden_ = take(width * s_.hidden);
        scores_ = take(N_ * width), picked_ = take(N_ * width);
        valid_ = take(Q);
        pixel_ = take_ints(Q), next_pixel_ = take_ints(Q), lane_token_ = take_ints(Q), lane_pixel_ = take_ints(Q),
        keep_ = take_ints(Q);
        // Lanes without a token compute on finite numbers, and nobody reads their results.
        for (T* p : {raw_, earlier_, residual_}) std::fill_n(p, Q * C, T(0));
        std::fill_n(picked_, N_ * width, T(0));
        std::fill_n(kv_, 2 * C * kv_stride_, T(0));
        std::fill_n(valid_, Q, T(0));
    }

    static int padded(int tokens) { return simd::round_up(tokens, width); }

    /// Computes one window; returns the number of its active tokens.
    int run(int window, const T* x, const T* cond, Reuse reuse, T* pred_q, T* sum, T* y, std::uint8_t* keep);

private:
    int panels(int count) const { return simd::ceil_div(count, width); }
    static int vectors(int count, int panel) { return count - panel * width > lanes ? 2 : 1; }
    std::ptrdiff_t panel_size() const { return std::ptrdiff_t(C_) * width; }

    /// Where the window's tokens lie, and those of the next one, whose rows are fetched while this one is computed.
    void locate(int window) {
        if (located_ == window)
            std::swap(pixel_, next_pixel_);
        else
            grid_.pixels_of(window, pixel_);
        located_ = window + 1 < grid_.windows() ? window + 1 : -1;
        if (located_ >= 0) grid_.pixels_of(located_, next_pixel_);
        padded_window_ = false;
        for (int n = 0; n < Q_; ++n) {
            valid_[n] = pixel_[n] >= 0 ? T(1) : T(0);
            padded_window_ |= pixel_[n] < 0;
        }
    }

    /// Fetches into L2 the rows of an image that the next window will read: called before each of the tiles of K and V,
    /// a share of the tokens each time, so that arithmetic hides the memory.
    MIA_INLINE void prefetch(const T* image, int tile, int tiles) const {
        if (located_ < 0) return;
        for (int n = tile * Q_ / tiles; n < (tile + 1) * Q_ / tiles; ++n) {
            if (next_pixel_[n] < 0) continue;
            const T* row = image + std::ptrdiff_t(next_pixel_[n]) * C_;
            for (int c = 0; c < C_; c += int(cache_line / sizeof(T))) __builtin_prefetch(row + c, 0, 2);
        }
    }

    /// The window's tokens of an image into panels; padding is left as it is and zeroed after the norm.
    void gather(const T* image, T* to) const {
        for (int p = 0; p < panels(Q_); ++p)
            simd::rows_to_panel<T>(
                [&](int i) { return image + std::ptrdiff_t(std::max(pixel_[p * width + i], 0)) * C_; },
                std::min(width, Q_ - p * width), C_, to + p * panel_size(), width);
    }
    void norm(const T* from, T* to) const {
        for (int p = 0; p < panels(Q_); ++p)
            panel_layer_norm<T>(from + p * panel_size(), C_, vectors(Q_, p), w_.norm(0), w_.norm(1), T(layer_norm_eps),
                                padded_window_ || Q_ % lanes != 0 ? valid_ + p * width : nullptr,
                                to + p * panel_size());
    }

    /// keep_: which tokens changed since the last frame.
    void predict(const T* now, const T* before) {
        using namespace simd;
        const bool learned = w_.mask == BlockMask::learned;
        const T* weight = w_.norm(4);  // ones for a threshold
        for (int p = 0; p < panels(Q_); ++p)
            for (int j = 0; j < vectors(Q_, p) * lanes; j += lanes) {
                Vec<T> sums[2] = {broadcast(learned ? w_.predictor_bias : T(0)), Vec<T>{}};
                for (int c = 0; c < C_; ++c) {
                    const std::ptrdiff_t at = p * panel_size() + c * width + j;
                    sums[c % 2] = fma(abs(load(now + at) - load(before + at)), broadcast(weight[c]), sums[c % 2]);
                }
                const Vec<T> total = sums[0] + sums[1];
                for (int i = 0; i < lanes && p * width + j + i < Q_; ++i)
                    keep_[p * width + j + i] = learned ? keeps(float(total[i])) : total[i] / T(C_) >= T(w_.threshold);
            }
    }

    void attend(int window, const T* x, const T* cond, int active) {
        using namespace simd;
        const int tiles_of_panel = ceil_div(2 * C_, max_tile_rows(panel_vectors)), tiles = panels(Q_) * tiles_of_panel;
        const std::ptrdiff_t image = std::ptrdiff_t(grid_.pixels()) * C_;
        for (int f = 0; f <= s_.condition_frames; ++f) {  // oldest first, the current frame last
            const T* tokens = current_;
            if (f < s_.condition_frames) {
                gather(cond + f * image, earlier_);
                norm(earlier_, earlier_);
                tokens = earlier_;
            }
            // Lanes beyond a frame's last token are overwritten by the next frame.
            for (int p = 0; p < panels(Q_); ++p) {
                T* to = kv_ + f * Q_ + p * width;
                const T* from = f < s_.condition_frames ? cond + f * image : x;
                panel_product(
                    w_.kv, tokens + p * panel_size(), vectors(Q_, p),
                    [&](int m, int j, Vec<T> v) MIA_INLINE_LAMBDA { store(to + m * kv_stride_ + j * lanes, v); },
                    [&](int m) MIA_INLINE_LAMBDA {
                        prefetch(from, p * tiles_of_panel + m / max_tile_rows(panel_vectors), tiles);
                    });
            }
        }
        const bool full = active == Q_, regions = grid_.has_regions(window);
        const T* tokens = current_;
        const T* raw = raw_;
        if (!full) {  // the active tokens in neighbouring lanes: picked anew from the image's rows
            raw = residual_;
            tokens = normed_;
            pick(x, active);
        }
        shortcut_ = raw;
        for (int p = 0; p < panels(active); ++p) {
            const int n = vectors(active, p);
            T* q = query_ + p * panel_size();
            panel_product(w_.q, tokens + p * panel_size(), n,
                          [&](int m, int j, Vec<T> v) MIA_INLINE_LAMBDA { store(q + m * width + j * lanes, v); });
            attend_panel(window, p, n, std::min(width, active - p * width), full && !regions, regions);
        }
    }

    void pick(const T* x, int active) {
        for (int p = 0; p < panels(active); ++p) {
            const int* pixels = lane_pixel_ + p * width;
            T* to = residual_ + p * panel_size();
            simd::rows_to_panel<T>([&](int i) { return x + std::ptrdiff_t(pixels[i]) * C_; },
                                   std::min(width, active - p * width), C_, to, width);
            panel_layer_norm<T>(to, C_, vectors(active, p), w_.norm(0), w_.norm(1), T(layer_norm_eps), nullptr,
                                normed_ + p * panel_size());
        }
    }

    void attend_panel(int window, int p, int n, int count, bool by_offset, bool regions) {
        const int heads = s_.num_heads, D = C_ / heads;
        const int* tokens = lane_token_ + p * width;
        for (int h = 0; h < heads; ++h) {
            if (!by_offset) {
                const T* by_query = w_.by_query.data() + std::ptrdiff_t(h) * Q_ * N_;
                simd::rows_to_panel<T>([&](int i) { return by_query + std::ptrdiff_t(tokens[i]) * N_; }, count, N_,
                                       picked_, width);
                if (regions) add_region_penalty(grid_, window, tokens, count, N_, picked_, width);
            }
            AttentionPanel<T, KvOrder::channels_first>{
                .D = D,
                .N = N_,
                .vectors = n,
                .keys = kv_ + std::ptrdiff_t(h) * D * kv_stride_,
                .values = kv_ + std::ptrdiff_t(C_ + h * D) * kv_stride_,
                .kv_stride = kv_stride_,
                .query = query_ + p * panel_size() + h * D * width,
                .bias = by_offset ? w_.by_offset.data() + h * w_.offset_size + p * width : picked_,
                .bias_stride = width,
                .bias_offset = by_offset ? w_.offset.data() : nullptr,
                .scores = scores_,
                .out = heads_ + p * panel_size() + h * D * width}
                .run();
        }
    }

    /// Projection, shortcut, MLP; writes y, and the sum of both branches if there is a state.
    void feed_forward(int active, T* sum, T* y) {
        using namespace simd;
        for (int p = 0; p < panels(active); ++p) {
            const int n = vectors(active, p), count = std::min(width, active - p * width);
            const std::ptrdiff_t at = p * panel_size();
            T *branch = query_ + at, *x1 = residual_ + at, *normed = normed_ + at;
            const T* x = shortcut_ + at;
            panel_product(w_.proj, heads_ + at, n, [&](int m, int j, Vec<T> v) MIA_INLINE_LAMBDA {
                store(branch + m * width + j * lanes, v);
                store(x1 + m * width + j * lanes, load(x + m * width + j * lanes) + v);
            });
            panel_layer_norm<T>(x1, C_, n, w_.norm(2), w_.norm(3), T(layer_norm_eps), nullptr, normed);
            panel_product(w_.fc1, normed, n,
                          [&](int m, int j, Vec<T> v) MIA_INLINE_LAMBDA { store(hidden_ + m * width + j * lanes, v); });
            for (int i = 0; i < s_.hidden * width; i += width)
                for (int j = 0; j < n * lanes; j += lanes) store(hidden_ + i + j, gelu(load(hidden_ + i + j)));
            panel_product(w_.fc2, hidden_, n, [&](int m, int j, Vec<T> v) MIA_INLINE_LAMBDA {
                const std::ptrdiff_t i = m * width + j * lanes;
                store(normed + i, load(x1 + i) + v);
                if (sum) store(branch + i, load(branch + i) + v);
            });
            const int* pixels = lane_pixel_ + p * width;
            panel_to_rows<T>(normed, width, count, C_, [&](int i) { return y + std::ptrdiff_t(pixels[i]) * C_; });
            if (sum)
                panel_to_rows<T>(branch, width, count, C_, [&](int i) { return sum + std::ptrdiff_t(pixels[i]) * C_; });
        }
    }

    const PackedBlock<BasicCpu<T>>& w_;
    const BlockShape& s_;
    const WindowGrid& grid_;
    const int C_, N_, Q_;
    const std::ptrdiff_t kv_stride_;
    T *raw_, *current_, *earlier_, *normed_, *query_, *heads_, *residual_, *kv_, *hidden_, *scores_, *picked_, *valid_;
    int *pixel_, *next_pixel_, *lane_token_, *lane_pixel_, *keep_;
    int located_ = -1;  // the window that next_pixel_ belongs to
    const T* shortcut_ = nullptr;
    bool padded_window_ = false;
};

template <class T>
int BlockWorker<T>::run(int window, const T* x, const T* cond, Reuse reuse, T* pred_q, T* sum, T* y,
                        std::uint8_t* keep) {
    locate(window);
    gather(x, raw_);
    norm(raw_, current_);
    const std::ptrdiff_t state_size = std::ptrdiff_t(padded(Q_)) * C_;
    int active = 0;
    const bool masked = reuse == Reuse::masked;
    if (masked) predict(current_, pred_q + window * state_size);
    for (int n = 0; n < Q_; ++n) {
        const bool kept = pixel_[n] >= 0 && (!masked || keep_[n]);
        if (pixel_[n] >= 0 && keep) keep[pixel_[n]] = std::uint8_t(masked ? keep_[n] : 1);
        if (!kept) continue;
        lane_token_[active] = n;
        lane_pixel_[active++] = pixel_[n];
    }
    if (reuse != Reuse::none) std::memcpy(pred_q + window * state_size, current_, std::size_t(state_size) * sizeof(T));
    if (active > 0) {
        attend(window, x, cond, active);
        feed_forward(active, reuse == Reuse::none ? nullptr : sum, y);
    }
    if (masked && active < Q_) {
        for (int n = 0; n < Q_; ++n) {
            if (pixel_[n] < 0 || keep_[n]) continue;
            const std::ptrdiff_t at = std::ptrdiff_t(pixel_[n]) * C_;
            for (int c = 0; c < C_; ++c) y[at + c] = x[at + c] + sum[at + c];
        }
    }
    return active;
}

#ifdef MIA_COMPILED_KERNELS
extern template int BlockWorker<float>::run(int, const float*, const float*, Reuse, float*, float*, float*,
                                            std::uint8_t*);
extern template int BlockWorker<double>::run(int, const double*, const double*, Reuse, double*, double*, double*,
                                             std::uint8_t*);
#endif

/// One object a thread for the length of a call, with that thread's scratch; the objects themselves lie in the scratch
/// of the call.
template <class Worker>
class PerThread {
    static_assert(std::is_trivially_destructible_v<Worker>);

public:
    template <class T, class Make>
    PerThread(BasicCpu<T>& cpu, Make make) : count_(cpu.threads()) {
        slots_ = reinterpret_cast<Slot*>(cpu.template scratch<std::byte>(count_ * int(sizeof(Slot))).data);
        for (int i = 0; i < count_; ++i) {
            Arena& arena = cpu.worker_scratch(i);
            const auto position = arena.position();
            new (slots_ + i) Slot{make(arena), &arena, position};
        }
    }
    ~PerThread() {
        for (int i = 0; i < count_; ++i) slots_[i].arena->release(slots_[i].position);
    }
    PerThread(const PerThread&) = delete;
    PerThread& operator=(const PerThread&) = delete;
    Worker& operator[](int index) { return slots_[index].worker; }

private:
    struct Slot {
        Worker worker;
        Arena* arena;
        Arena::Position position;
    };
    Slot* slots_;
    int count_;
};

}  // namespace MIA_INSTRUCTIONS
}  // namespace detail

template <class T>
void fused_block(BasicCpu<T>& cpu, Shift shift, In<T, 3> x, In<T, 4> cond, const PackedBlock<BasicCpu<T>>& block,
                 Reuse reuse, FusedState<BasicCpu<T>>& state, Out<T, 3> y, View<std::uint8_t, 2> keep) {
    require(block.ready,
            "fused_block: the parameters are not packed; call prepare(backend, model) after loading or changing them");
    using Worker = detail::BlockWorker<T>;
    const BlockShape& s = block.shape;
    const WindowGrid grid{x.extent(0), x.extent(1), s.window, shift};
    if (reuse != Reuse::none) {
        state.pred_q.resize(cpu, grid.windows(), Worker::padded(s.window.tokens()) * s.dim);
        state.sum.resize(cpu, grid.pixels(), s.dim);
    }
    std::atomic<std::int64_t> tokens = 0, windows = 0;
    cpu.reserve_worker_scratch(Worker::scratch_bytes(s));
    const auto scope = cpu.scope();
    detail::PerThread<Worker> workers(cpu, [&](Arena& arena) { return Worker(block, grid, arena); });
    cpu.parallel_for(grid.windows(), 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int index) {
        std::int64_t active = 0, busy = 0;
        for (std::ptrdiff_t w = begin; w < end; ++w) {
            const int n = workers[index].run(int(w), x.data, cond.data, reuse, state.pred_q.data(), state.sum.data(),
                                             y.data, keep.data);
            active += n;
            busy += n > 0;
        }
        tokens += active;
        windows += busy;
    });
    const std::int64_t C = s.dim, N = s.keys(), P = grid.pixels();
    const std::int64_t per_window = 2 * N * C * C, per_token = 2 * C * C + 2 * N * C + 2 * C * s.hidden;
    const std::int64_t predictor = reuse == Reuse::masked && block.mask == BlockMask::learned ? P * C : 0;
    cpu.record({"fused_block", &block, windows * per_window + tokens * per_token + predictor,
                grid.windows() * per_window + P * per_token + predictor});
    cpu.record_tokens(tokens, P);
}

}  // namespace mia
