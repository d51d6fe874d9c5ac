#pragma once
#include <atomic>
#include <utility>

#include "mia/core/cpu.hpp"
#include "mia/core/per_thread.hpp"
#include "mia/core/transpose.hpp"
#include "mia/ops/fused_block/fused_block.hpp"
#include "mia/ops/fused_block/packed_block_cpu.hpp"
#include "mia/ops/layer_norm/layer_norm.hpp"
#include "mia/ops/panel_product.hpp"

namespace mia {

template <class T>
inline constexpr bool has_fused_block<BasicCpu<T>> = true;

namespace detail {
inline namespace MIA_INSTRUCTIONS {  // see mia/kernels.cpp

/// One worker's way through a batch of windows inside the L2 cache: tokens in lanes from the gather to the scatter, so
/// that linear maps broadcast weights, and LayerNorm, softmax and GELU are vertical. Masked tokens are dropped after
/// the predictor, and the active ones of the whole batch packed into neighbouring lanes: skipping is a smaller number
/// of vectors. What a product reads lies in panels of Lane<T>, the rest in wide numbers.
template <class T>
class BlockWorker {
    using W = Wide<T>;
    using L = Lane<T>;
    using V = simd::Vec<T>;
    static constexpr int lanes = simd::lanes<T>, width = simd::panel_vectors * lanes, n = per_lane<T>;
    using Group = V[n];                           ///< rows of a product that go into one row of lanes
    static constexpr int batch_bytes = 24 << 10;  // of tokens: several such, keys, values and weights lie in L2

public:
    struct Counts {
        int tokens = 0, windows = 0;  ///< active ones
    };

    static WindowBundle bundle_of(const BlockShape& s) { return {s.window.tokens(), lanes}; }
    /// Bundles in a batch: the more, the less is lost where its active tokens are rounded up to whole vectors.
    static int batch_bundles(const BlockShape& s) {
        return std::max(1, int(batch_bytes / sizeof(T)) / (bundle_of(s).width() * s.dim));
    }
    /// Elements of a bundle's normed tokens in the state.
    static std::ptrdiff_t state_size(const BlockShape& s) {
        return std::ptrdiff_t(bundle_of(s).width()) * simd::round_up(s.dim, n);
    }

    static std::size_t scratch_bytes(const BlockShape& s) {
        const WindowBundle bundle = bundle_of(s);
        const std::ptrdiff_t C = simd::ceil_div(s.dim, n), A = s.num_heads * padded_head<T>(s) / n, N = s.keys(),
                             batch = std::ptrdiff_t(batch_bundles(s)) * bundle.width();
        return std::size_t((4 * batch + width) * C + 2 * A * (batch + width) + (n > 1 ? A * width : 0) +
                           2 * A * bundle.windows() * (N + width)) *
                   sizeof(L) +
               std::size_t(width * (simd::round_up(s.hidden, n) + 2 * std::max<std::ptrdiff_t>(N, s.dim)) + batch) *
                   sizeof(W) +
               std::size_t(5 * batch + batch_bundles(s) * bundle.windows() + 1) * sizeof(int) + 18 * cache_line;
    }

    BlockWorker(const PackedBlock<BasicCpu<T>>& block, const WindowGrid& grid, Arena& arena)
        : w_(block),
          s_(block.shape),
          grid_(grid),
          bundle_(bundle_of(s_)),
          bundles_(batch_bundles(s_)),
          C_(s_.dim),
          A_(s_.num_heads * padded_head<T>(s_)),
          N_(s_.keys()),
          Q_(s_.window.tokens()),
          heads_stride_(one_window() ? width : bundles_ * bundle_.width() + width),
          heads_panel_(one_window() ? std::ptrdiff_t(A_ / n) * width : width),
          kv_window_(N_ + width),
          kv_stride_(bundle_.windows() * kv_window_) {
        const std::ptrdiff_t batch = std::ptrdiff_t(bundles_) * bundle_.width(), C = panel_size() / width, A = A_ / n;
        const auto take = [&]<class U>(U*& p, std::ptrdiff_t count) {
            p = static_cast<U*>(arena.take(std::size_t(count) * sizeof(U)));
        };
        for (L** p : {&raw_, &current_, &normed_, &picked_tokens_}) take(*p, batch * C);
        take(earlier_, width * C);
        for (L** p : {&query_, &heads_}) take(*p, A * (batch + width));
        if (n > 1) take(pairs_, A * width);
        take(keys_, 2 * A * kv_stride_);
        values_ = reinterpret_cast<T*>(keys_ + A * kv_stride_);
        take(hidden_, width * w_.fc1.M);
        for (W** p : {&scores_, &picked_}) take(*p, std::max(N_, C_) * width);
        branch_ = scores_, x1_ = picked_;  // in L2 there is no room for what is not needed
        take(valid_, batch);
        for (int** p : {&pixel_, &next_pixel_, &lane_token_, &lane_pixel_, &keep_}) take(*p, batch);
        take(begin_, bundles_ * bundle_.windows() + 1);
        // Lanes without a token compute on finite numbers, and nobody reads their results.
        for (L* p : {raw_, picked_tokens_}) std::fill_n(p, batch * C, L());
        std::fill_n(earlier_, width * C, L());
        for (L* p : {query_, heads_}) std::fill_n(p, A * (batch + width), L());
        std::fill_n(keys_, 2 * A * kv_stride_, L());
        std::fill_n(picked_, N_ * width, W(0));
    }

    /// Computes the windows of one batch.
    Counts run(int batch, const T* x, const Condition<T>& cond, Reuse reuse, T* pred_q, T* sum, T* y,
               std::uint8_t* keep);

private:
    int panels(int count) const { return simd::ceil_div(count, width); }
    static int vectors(int count, int panel) { return count - panel * width > lanes ? 2 : 1; }
    std::ptrdiff_t panel_size() const { return std::ptrdiff_t(simd::ceil_div(C_, n)) * width; }  ///< of C channels
    bool one_window() const { return bundles_ == 1 && bundle_.windows() == 1; }                  ///< in a batch
    std::ptrdiff_t bundle_size() const { return panel_size() * (bundle_.width() / width); }
    int batches() const { return simd::ceil_div(bundle_.count(grid_.windows()), bundles_); }

    /// to: the pixel of each of a batch's lanes, -1 where there is none.
    void pixels_of(int batch, int* to) const {
        std::fill_n(to, bundles_ * bundle_.width(), -1);
        const int first = batch * bundles_ * bundle_.windows();
        for (int i = 0; i < bundles_ * bundle_.windows() && first + i < grid_.windows(); ++i)
            grid_.pixels_of(first + i,
                            to + i / bundle_.windows() * bundle_.width() + i % bundle_.windows() * bundle_.stride());
    }

    /// Where the batch's tokens lie, and those of the next one, whose rows are fetched while this one is computed.
    void locate(int batch) {
        if (located_ == batch)
            std::swap(pixel_, next_pixel_);
        else
            pixels_of(batch, pixel_);
        located_ = batch + 1 < batches() ? batch + 1 : -1;
        if (located_ >= 0) pixels_of(located_, next_pixel_);
        for (int i = 0; i < bundles_ * bundle_.width(); ++i) valid_[i] = pixel_[i] >= 0 ? W(1) : W(0);
    }

    /// Before one of `tiles` tiles of a product, so that arithmetic hides the memory: its share of the rows of an
    /// image, and of stored keys and values, that the next batch will read.
    MIA_INLINE void fetch_next(const T* image, const StoredKv<T>* stored, int bundle, int tile, int tiles) const {
        if (located_ < 0) return;
        const int* pixels = next_pixel_ + bundle * bundle_.width();
        for (int i = tile * bundle_.width() / tiles; i < (tile + 1) * bundle_.width() / tiles; ++i) {
            if (pixels[i] < 0) continue;
            simd::fetch<2>(image + std::ptrdiff_t(pixels[i]) * C_, C_);
            for (int f = 0; stored && f < s_.condition_frames; ++f)
                simd::fetch<2>(stored_row(stored[f], pixels[i]), 2 * A_);
        }
    }

    /// f(lane, vectors) for the panels of a bundle that hold the wanted ones of its windows (bit i: window i): the
    /// first lane in the bundle and how many vectors.
    template <class F>
    MIA_INLINE void each_panel(unsigned windows, F f) const {
        if (bundle_.windows() == 1)
            for (int p = 0; p < panels(Q_); ++p) f(p * width, vectors(Q_, p));
        else
            f(windows & 1 ? 0 : lanes, windows == 3 ? 2 : 1);
    }
    std::ptrdiff_t at_lane(int lane) const { return lane / width * panel_size() + lane % width; }

    /// Tokens of an image into a panel, and normed; what has no pixel is a zero vector then.
    void gather(const T* image, int bundle, int lane, int vectors, L* to) const {
        const int* pixels = pixel_ + bundle * bundle_.width() + lane;
        simd::rows_to_panel<T>([&](int i) { return image + std::ptrdiff_t(std::max(pixels[i], 0)) * C_; },
                               std::min(vectors * lanes, bundle_.windows() == 1 ? Q_ - lane : width), C_, to, width);
    }
    void norm(const L* from, int bundle, int lane, int vectors, L* to) const {
        const W* valid = valid_ + bundle * bundle_.width() + lane;
        const bool all = std::all_of(valid, valid + vectors * lanes, [](W v) { return v != W(0); });
        panel_layer_norm<T>(from, C_, vectors, w_.norm(0), w_.norm(1), W(layer_norm_eps), all ? nullptr : valid, to);
    }
    bool is_empty(int bundle, int lane, int vectors) const {
        const W* valid = valid_ + bundle * bundle_.width() + lane;
        return std::all_of(valid, valid + vectors * lanes, [](W v) { return v == W(0); });
    }

    /// keep: which tokens of a panel changed since the last frame. The state becomes this frame's.
    void predict(const L* now, int vectors, L* state, int* keep) const {
        using namespace simd;
        const bool learned = w_.mask == BlockMask::learned;
        const W* weight = w_.norm(4);  // ones for a threshold
        for (int lane = 0; lane < vectors * lanes; lane += lanes) {
            const V total = sum_of<T>(C_, [&]<int Count>(int c, V& sum) MIA_INLINE_LAMBDA {
                Group a, b;
                load_channels<n>(now + lane, c, C_, width, a);
                load_channels<n>(state + lane, c, C_, width, b);
                store(state + c / n * width + lane, load(now + c / n * width + lane));
#pragma GCC unroll 2
                for (int e = 0; e < Count; ++e) sum = fma(abs(a[e] - b[e]), broadcast(weight[c + e]), sum);
            });
            for (int i = 0; i < lanes; ++i)
                keep[lane + i] =
                    learned ? keeps(float(total[i] + w_.predictor_bias)) : total[i] / W(C_) >= W(w_.threshold);
        }
    }

    /// Keys and values of the active windows of a bundle, all frames.
    void keys_and_values(int bundle, unsigned windows, const T* x, const Condition<T>& cond) {
        using namespace simd;
        const int tiles_of_panel = ceil_div(2 * A_, max_tile_rows(panel_vectors)),
                  tiles = panels(bundle_.width()) * tiles_of_panel;
        const std::ptrdiff_t image = std::ptrdiff_t(grid_.pixels()) * C_, size = state_size(s_);
        const bool reads_next_state =
            next_state_ && located_ * bundles_ + bundle < bundle_.count(grid_.windows());  // not beyond the last one
        if (cond.stored)
            for (int f = 0; f < s_.condition_frames; ++f) read_kv(bundle, windows, cond.stored[f], f);
        // Oldest first, the current frame last.
        for (int f = cond.stored ? s_.condition_frames : 0; f <= s_.condition_frames; ++f) {
            const bool is_earlier = f < s_.condition_frames;
            const T* from = is_earlier ? cond.frames.data + f * image : x;
            each_panel(windows, [&](int lane, int vectors) {
                // Lanes beyond a frame's last token are overwritten by the next frame.
                const bool shared = bundle_.windows() > 1;
                const std::ptrdiff_t first = f * Q_ + (shared ? lane / lanes * kv_window_ : lane),
                                     step = shared ? kv_window_ : lanes;
                // Copies in this and the other lambdas that store: what a reference leads to might be overwritten.
                const auto put = [=, A = A_, keys = keys_ + first, values = values_ + first, stride = kv_stride_](
                                     int m, int j, const Group& v) MIA_INLINE_LAMBDA {
                    if (n == 1 || m < A) return store(keys + m / n * stride + j * step, pack(v));
#pragma GCC unroll 2
                    for (int e = 0; e < n; ++e) store(values + (m - A + e) * stride + j * step, v[e]);
                };
                const auto before_tile = [&](int m) MIA_INLINE_LAMBDA {
                    const int tile = lane / width * tiles_of_panel + m / max_tile_rows(panel_vectors);
                    fetch_next(from, cond.stored, bundle, tile, tiles);
                    if (!is_earlier && reads_next_state) {
                        const std::ptrdiff_t begin = tile * size / tiles;
                        fetch<2>(next_state_ + bundle * size + begin, (tile + 1) * size / tiles - begin);
                    }
                };
                if (is_empty(bundle, lane, vectors)) {
                    for (int m = 0; m < 2 * A_; m += n) {
                        Group bias;
#pragma GCC unroll 2
                        for (int e = 0; e < n; ++e) bias[e] = broadcast(w_.kv.bias.data()[m + e]);
                        for (int j = 0; j < vectors; ++j) put(m, j, bias);
                    }
                    for (int t = 0; t < tiles_of_panel; ++t) before_tile(t * max_tile_rows(panel_vectors));
                    return;
                }
                const L* tokens = current_ + bundle * bundle_size() + at_lane(lane);
                if (is_earlier) {
                    gather(from, bundle, lane, vectors, earlier_);
                    norm(earlier_, bundle, lane, vectors, earlier_);
                    tokens = earlier_;
                }
                panel_product<T>(w_.kv, tokens, width, vectors, put, before_tile);
            });
        }
    }

    /// A token's stored keys and values; pixel: -1 for padding.
    const T* stored_row(const StoredKv<T>& stored, int pixel) const {
        const int from = pixel < 0 ? grid_.pixels() + 1 : stored.source.data[pixel];
        return stored.rows.data + (from < 0 ? grid_.pixels() : from) * std::ptrdiff_t(2 * A_);
    }

    /// Keys and values of the active windows of a bundle in frame f, which were stored.
    void read_kv(int bundle, unsigned windows, const StoredKv<T>& stored, int f) {
        for (int i = 0; i < bundle_.windows(); ++i) {
            if (!(windows & 1u << i)) continue;
            const int* pixels = pixel_ + bundle * bundle_.width() + i * bundle_.stride();
            const auto keys_of = [&](int q) { return stored_row(stored, pixels[q]); };
            const auto values_of = [&](int q) { return keys_of(q) + A_; };
            const std::ptrdiff_t first = f * Q_ + i * kv_window_;
            simd::rows_to_panel<T>(keys_of, Q_, A_, keys_ + first, kv_stride_);
            if constexpr (n == 1) {
                simd::rows_to_panel<T>(values_of, Q_, A_, values_ + first, kv_stride_);
            } else {  // lanes hold two channels, values one
                for (int q = 0; q < Q_; q += width) {
                    const int count = std::min(width, Q_ - q);
                    simd::rows_to_panel<T>([&](int j) { return values_of(q + j); }, count, A_, pairs_, width);
                    for (int c = 0; c < A_; ++c)
                        for (int j = 0; j < count; ++j)
                            values_[c * kv_stride_ + first + q + j] =
                                reinterpret_cast<const T*>(pairs_ + c / n * width + j)[c % n];
                }
            }
        }
    }

    /// The queries of the batch's active tokens. in_place: they are the first lanes of the batch, in order.
    void queries(const T* x, int active, bool in_place) {
        using namespace simd;
        shortcut_ = raw_;
        const L* tokens = current_;
        if (!in_place) {  // into neighbouring lanes: picked anew from the image's rows
            pick(x, active);
            shortcut_ = picked_tokens_;
            tokens = normed_;
        }
        for (int p = 0; p < panels(active); ++p) {
            panel_product<T>(w_.q, tokens + p * panel_size(), width, vectors(active, p),
                             [q = query_ + p * heads_panel_, stride = heads_stride_](int m, int j, const Group& v)
                                 MIA_INLINE_LAMBDA { store(q + m / n * stride + j * lanes, pack(v)); });
        }
    }

    void pick(const T* x, int active) {
        for (int p = 0; p < panels(active); ++p) {
            const int* pixels = lane_pixel_ + p * width;
            L* to = picked_tokens_ + p * panel_size();
            simd::rows_to_panel<T>([&](int i) { return x + std::ptrdiff_t(pixels[i]) * C_; },
                                   std::min(width, active - p * width), C_, to, width);
            panel_layer_norm<T>(to, C_, vectors(active, p), w_.norm(0), w_.norm(1), W(layer_norm_eps), nullptr,
                                normed_ + p * panel_size());
        }
    }

    /// The attention of a window, the index-th of its bundle: of the `count` active tokens from lane `first`. What it
    /// writes beyond them, up to a whole vector, the next window's results overwrite.
    void attend(int window, int index, int first, int count) {
        const bool regions = grid_.has_regions(window), by_offset = count == Q_ && !regions;
        for (int i = 0; i < count; i += width)
            attend_panel(window, index, i, first + i, std::min(width, count - i), by_offset, regions);
    }
    void attend_panel(int window, int index, int query, int lane, int count, bool by_offset, bool regions) {
        const int heads = s_.num_heads, D = A_ / heads;
        const int* tokens = lane_token_ + lane;
        for (int h = 0; h < heads; ++h) {
            if (!by_offset) {
                const W* by_query = w_.by_query.data() + std::ptrdiff_t(h) * Q_ * N_;
                simd::rows_to_panel<W>([&](int i) { return by_query + std::ptrdiff_t(tokens[i]) * N_; }, count, N_,
                                       picked_, width);
                if (regions) add_region_penalty(grid_, window, tokens, count, N_, picked_, width);
            }
            const std::ptrdiff_t at = h * (D / n) * heads_stride_ + lane / width * heads_panel_ + lane % width;
            AttentionPanel<T, KvOrder::channels_first>{
                .D = D,
                .N = N_,
                .vectors = count > lanes ? 2 : 1,
                .scale = W(1 / std::sqrt(double(C_ / heads))),
                .keys = keys_ + std::ptrdiff_t(h) * (D / n) * kv_stride_ + index * kv_window_,
                .values = values_ + std::ptrdiff_t(h) * D * kv_stride_ + index * kv_window_,
                .kv_stride = kv_stride_,
                .query = query_ + at,
                .query_stride = heads_stride_,
                .bias = by_offset ? w_.by_offset.data() + h * w_.offset_size + query : picked_,
                .bias_stride = width,
                .bias_offset = by_offset ? w_.offset.data() : nullptr,
                .scores = scores_,
                .out = heads_ + at,
                .out_stride = heads_stride_}
                .run();
        }
    }

    /// Projection, shortcut, MLP; writes y, and the sum of both branches if there is a state.
    void feed_forward(int active, T* sum, T* y) {
        using namespace simd;
        const int C = C_, tiles = ceil_div(w_.fc1.M, max_tile_rows(panel_vectors));
        W *const branch = branch_, *const x1 = x1_, *const hidden = hidden_;
        for (int p = 0; p < panels(active); ++p) {
            const int in_use = vectors(active, p), count = std::min(width, active - p * width);
            L *const normed = normed_ + p * panel_size(), *const both = earlier_;
            const L* const x = shortcut_ + p * panel_size();
            const int* const pixels = lane_pixel_ + p * width;
            panel_product<T>(w_.proj, heads_ + p * heads_panel_, heads_stride_, in_use,
                             [=](int m, int j, const Group& v) MIA_INLINE_LAMBDA {
                                 Group shortcut;
                                 load_channels<n>(x + j * lanes, m, C, width, shortcut);
#pragma GCC unroll 2
                                 for (int e = 0; e < n; ++e) {
                                     if (m + e == C) continue;  // the row of zeros that fills the last lanes
                                     const std::ptrdiff_t i = (m + e) * width + j * lanes;
                                     store(branch + i, v[e]);
                                     store(x1 + i, shortcut[e] + v[e]);
                                 }
                             });
            panel_layer_norm<T>(x1, C, in_use, w_.norm(2), w_.norm(3), W(layer_norm_eps), nullptr, normed);
            panel_product<T>(
                w_.fc1, normed, width, in_use,
                [=](int m, int j, const Group& v) MIA_INLINE_LAMBDA {
#pragma GCC unroll 2
                    for (int e = 0; e < n; ++e) store(hidden + (m + e) * width + j * lanes, v[e]);
                },
                [&](int m) MIA_INLINE_LAMBDA {  // where the results go
                    const int tile = m / max_tile_rows(panel_vectors);
                    for (int i = tile * count / tiles; i < (tile + 1) * count / tiles; ++i) {
                        fetch<2>(y + std::ptrdiff_t(pixels[i]) * C, C);
                        if (sum) fetch<2>(sum + std::ptrdiff_t(pixels[i]) * C, C);
                    }
                });
            L* activated = reinterpret_cast<L*>(hidden);  // in place
            for (int m = 0; m < w_.fc1.M; m += n)
                for (int j = 0; j < in_use * lanes; j += lanes) {
                    Group v;
#pragma GCC unroll 2
                    for (int e = 0; e < n; ++e) v[e] = gelu_as<T>(load(hidden + (m + e) * width + j));
                    store(activated + m / n * width + j, pack(v));
                }
            panel_product<T>(w_.fc2, activated, width, in_use, [=](int m, int j, const Group& v) MIA_INLINE_LAMBDA {
                Group result, added;
                load_channels<n>(x1 + j * lanes, m, C, width, result);
                load_channels<n>(branch + j * lanes, m, C, width, added);
#pragma GCC unroll 2
                for (int e = 0; e < n; ++e) {
                    result[e] += v[e];
                    added[e] += v[e];
                }
                const std::ptrdiff_t i = m / n * width + j * lanes;
                store(normed + i, pack(result));
                if (sum) store(both + i, pack(added));
            });
            panel_to_rows<T>(normed, width, count, C, [&](int i) { return y + std::ptrdiff_t(pixels[i]) * C; });
            if (sum)
                panel_to_rows<T>(both, width, count, C, [&](int i) { return sum + std::ptrdiff_t(pixels[i]) * C; });
        }
    }

    const PackedBlock<BasicCpu<T>>& w_;
    const BlockShape& s_;
    const WindowGrid& grid_;
    const WindowBundle bundle_;
    const int bundles_, C_, A_, N_, Q_;  // bundles: of a batch; A: the heads' channels, padded
    const std::ptrdiff_t heads_stride_, heads_panel_, kv_window_, kv_stride_;
    L *raw_, *current_, *normed_, *picked_tokens_;  // (panels of the batch, lanes of C, width)
    L* earlier_;                                    // (lanes of C, width)
    // Of the batch's active tokens: (lanes of A, tokens), or (panels, lanes of A, width) where a batch is one window.
    L *query_, *heads_;
    L* pairs_ = nullptr;  // (lanes of A, width) stored values, where a lane holds more than one channel
    L* keys_;             // (lanes of A, kv_stride), a window every kv_window
    T* values_;           // (A, kv_stride), right behind: of the same rows where a lane holds one channel
    W *branch_, *x1_, *hidden_, *scores_, *picked_, *valid_;
    int *pixel_, *next_pixel_, *lane_token_, *lane_pixel_, *keep_;
    int* begin_;                     // (windows of the batch + 1) where each one's active tokens begin
    int located_ = -1;               // the batch that next_pixel_ belongs to
    const T* next_state_ = nullptr;  // of the next batch, if it is to be read
    const L* shortcut_ = nullptr;
};

template <class T>
typename BlockWorker<T>::Counts BlockWorker<T>::run(int batch, const T* x, const Condition<T>& cond, Reuse reuse,
                                                    T* pred_q, T* sum, T* y, std::uint8_t* keep) {
    locate(batch);
    const bool masked = reuse == Reuse::masked;
    const unsigned all = (1u << bundle_.windows()) - 1;
    const int bundles = std::min(bundles_, bundle_.count(grid_.windows()) - batch * bundles_);
    T* state = pred_q + std::ptrdiff_t(batch) * bundles_ * state_size(s_);
    next_state_ = masked && located_ >= 0 ? state + bundles_ * state_size(s_) : nullptr;
    int active = 0;
    bool in_place = true;
    for (int b = 0; b < bundles; ++b, state += state_size(s_)) {
        L *const raw = raw_ + b * bundle_size(), *const now = current_ + b * bundle_size();
        each_panel(all, [&](int lane, int vectors) {
            const std::ptrdiff_t at = at_lane(lane);
            gather(x, b, lane, vectors, raw + at);
            norm(raw + at, b, lane, vectors, now + at);
            if (masked)
                predict(now + at, vectors, reinterpret_cast<L*>(state) + at, keep_ + b * bundle_.width() + lane);
        });
        if (reuse == Reuse::start) std::memcpy(state, now, std::size_t(state_size(s_)) * sizeof(T));
        for (int i = 0; i < bundle_.windows(); ++i) {
            begin_[b * bundle_.windows() + i] = active;
            for (int q = 0; q < Q_; ++q) {
                const int lane = b * bundle_.width() + i * bundle_.stride() + q, pixel = pixel_[lane];
                if (pixel < 0) continue;
                if (keep) keep[pixel] = std::uint8_t(masked ? keep_[lane] : 1);
                if (masked && !keep_[lane]) continue;
                in_place &= lane == active;
                lane_token_[active] = q;
                lane_pixel_[active++] = pixel;
            }
        }
    }
    begin_[bundles * bundle_.windows()] = active;

    Counts counts{active, 0};
    if (active > 0) {
        for (int b = 0; b < bundles; ++b) {
            const int* begin = begin_ + b * bundle_.windows();
            unsigned busy = 0;
            for (int i = 0; i < bundle_.windows(); ++i) busy |= unsigned(begin[i + 1] > begin[i]) << i;
            if (busy == 0) continue;
            keys_and_values(b, busy, x, cond);
            if (counts.windows == 0) queries(x, active, in_place);
            for (int i = 0; i < bundle_.windows(); ++i) {
                if (begin[i + 1] == begin[i]) continue;
                attend((batch * bundles_ + b) * bundle_.windows() + i, i, begin[i], begin[i + 1] - begin[i]);
                ++counts.windows;
            }
        }
        feed_forward(active, reuse == Reuse::none ? nullptr : sum, y);
    }
    if (masked)
        for (int lane = 0; lane < bundles * bundle_.width(); ++lane) {
            if (pixel_[lane] < 0 || keep_[lane]) continue;
            const std::ptrdiff_t at = std::ptrdiff_t(pixel_[lane]) * C_;
            for (int c = 0; c < C_; ++c) y[at + c] = T(x[at + c] + sum[at + c]);
        }
    return counts;
}

#ifdef MIA_COMPILED_KERNELS
extern template BlockWorker<float>::Counts BlockWorker<float>::run(int, const float*, const Condition<float>&, Reuse,
                                                                   float*, float*, float*, std::uint8_t*);
extern template BlockWorker<double>::Counts BlockWorker<double>::run(int, const double*, const Condition<double>&,
                                                                     Reuse, double*, double*, double*, std::uint8_t*);
extern template BlockWorker<Bf16>::Counts BlockWorker<Bf16>::run(int, const Bf16*, const Condition<Bf16>&, Reuse, Bf16*,
                                                                 Bf16*, Bf16*, std::uint8_t*);
#endif

}  // namespace MIA_INSTRUCTIONS
}  // namespace detail

template <class T>
void fused_block(BasicCpu<T>& cpu, Shift shift, In<T, 3> x, const Condition<T>& cond,
                 const PackedBlock<BasicCpu<T>>& block, Reuse reuse, FusedState<BasicCpu<T>>& state, Out<T, 3> y,
                 View<std::uint8_t, 2> keep) {
    require(block.ready,
            "fused_block: the parameters are not packed; call prepare(backend, model) after loading or changing them");
    using Worker = detail::BlockWorker<T>;
    const BlockShape& s = block.shape;
    const WindowGrid grid{x.extent(0), x.extent(1), s.window, shift};
    if (reuse != Reuse::none) {
        state.pred_q.resize(cpu, Worker::bundle_of(s).count(grid.windows()), int(Worker::state_size(s)));
        state.sum.resize(cpu, grid.pixels(), s.dim);
    }
    std::atomic<std::int64_t> tokens = 0, windows = 0;
    cpu.reserve_worker_scratch(Worker::scratch_bytes(s));
    const auto scope = cpu.scope();
    detail::PerThread<Worker> workers(cpu, [&](Arena& arena) { return Worker(block, grid, arena); });
    const int batches = simd::ceil_div(Worker::bundle_of(s).count(grid.windows()), Worker::batch_bundles(s));
    cpu.parallel_for(batches, 4, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int index) {
        typename Worker::Counts active;
        for (std::ptrdiff_t b = begin; b < end; ++b) {
            const auto counts = workers[index].run(int(b), x.data, cond, reuse, state.pred_q.data(), state.sum.data(),
                                                   y.data, keep.data);
            active.tokens += counts.tokens;
            active.windows += counts.windows;
        }
        tokens += active.tokens;
        windows += active.windows;
    });
    const std::int64_t C = s.dim, N = s.keys(), P = grid.pixels();
    const std::int64_t keys = cond.stored ? s.window.tokens() : N;  // computed here
    const std::int64_t per_window = 2 * keys * C * C, per_token = 2 * C * C + 2 * N * C + 2 * C * s.hidden;
    const std::int64_t predictor = reuse == Reuse::masked && block.mask == BlockMask::learned ? P * C : 0;
    cpu.record({"fused_block", &block, windows * per_window + tokens * per_token + predictor,
                grid.windows() * per_window + P * per_token + predictor});
    cpu.record_tokens(tokens, P);
}

}  // namespace mia
