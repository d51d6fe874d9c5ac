#pragma once
#include <array>
#include <map>
#include <string>
#include <tuple>

#include "mia/nn/conv2d.hpp"
#include "mia/ops/avg_pool2d/avg_pool2d.hpp"
#include "mia/ops/channels/channels.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/resize/resize.hpp"

namespace mia {

/// Channels between the convolutions of one level: {32, 64, 32, 16}. A zero ends the list.
struct SpyNetChannels {
    static constexpr int most = 8;
    int value[most] = {32, 64, 32, 16};
    constexpr int count() const {
        int n = 0;
        while (n < most && value[n] != 0) ++n;
        return n;
    }
};

struct SpyNetConfig {
    int levels = 6;
    int kernel_size = 7;
    SpyNetChannels channels = {};

    constexpr int convolutions() const { return channels.count() + 1; }  ///< of a level
    /// Channels before its convolution i, or after the last.
    constexpr int width(int i) const { return i == 0 ? 8 : i == convolutions() ? 2 : channels.value[i - 1]; }
};

/// For small frames: 42,888 parameters, the published one has 1,440,300. docs/modules/spynet.md says what it reaches.
inline constexpr SpyNetConfig light_spynet{.levels = 4, .kernel_size = 3, .channels = {{16, 32, 16}}};

namespace detail {
/// The type of a level's convolutions. (A function of the class that returns it, nvcc does not find.)
template <SpyNetConfig C, class B, class Numbers>
struct SpyNetConvolutions;
template <SpyNetConfig C, class B, std::size_t... I>
struct SpyNetConvolutions<C, B, std::index_sequence<I...>> {
    using Type = std::tuple<Conv2d<
        Conv2dConfig{.in_channels = C.width(int(I)), .out_channels = C.width(int(I) + 1), .kernel_size = C.kernel_size},
        B>...>;
};
}  // namespace detail

/// One level: convolutions 8 -> channels -> 2, ReLU between. Parameters: basic_module.{0, 2, 4, ...}.
template <SpyNetConfig C, Backend B>
class SpyNetLevel {
public:
    using Scalar = typename B::Scalar;

    /// x: (H, W, 8), flow: (H, W, 2) -> y: (H, W, 2) = network(x) + flow.
    void forward(B& backend, View<const Scalar, 3> x, View<const Pixel<B>, 3> flow, View<Pixel<B>, 3> y) const {
        const auto scope = backend.scope();
        View<const Scalar, 3> features = x;
        int i = 0;
        std::apply(
            [&](const auto&... convs) {
                const auto run = [&](const auto& conv) {
                    if (++i == C.convolutions()) return conv.forward(backend, features, y, Activation::none, flow);
                    const auto next = backend.scratch(x.extent(0), x.extent(1), C.width(i));
                    conv.forward(backend, features, next, Activation::relu);
                    features = next;
                };
                (run(convs), ...);
            },
            convs_);
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        int i = 0;
        const auto name = [&] { return std::string("basic_module.").append(std::to_string(2 * i++)); };
        std::apply([&](auto&... convs) { (visit(name(), convs), ...); }, self.convs_);
    }

private:
    typename detail::SpyNetConvolutions<C, B, std::make_index_sequence<std::size_t(C.convolutions())>>::Type convs_;
};

/// Optical flow by a pyramid of residual networks (SpyNet, Ranjan and Black 2017; as in BasicSR, ReLU between the
/// convolutions, bilinear warp with border padding). Parameters: basic_module.<level>, coarsest first; mean, std.
template <SpyNetConfig C = SpyNetConfig{}, Backend B = Cpu>
class SpyNet {
    static_assert(C.levels >= 1 && C.levels <= 10, "SpyNet: levels must be 1 to 10; published: 6");
    static_assert(C.channels.count() >= 1,
                  "SpyNet: channels must list at least one width; published: {32, 64, 32, 16}");

public:
    using Scalar = typename B::Scalar;
    static constexpr const char* name = "spynet";
    static constexpr SpyNetConfig config = C;
    template <Backend Other>
    using On = SpyNet<C, Other>;                          ///< the same network on another backend
    static constexpr int multiple = 1 << (C.levels - 1);  ///< frames are resized to multiples of this
    static constexpr int least_size = 2 * multiple;       ///< the coarsest level has at least 2 x 2 cells

    /// ref, supp: (H, W, 3) -> flow: (H, W, 2). probe(level, flow (Hk, Wk, 2)) sees each level's result.
    template <class LevelProbe>
    void forward(B& backend, View<const Pixel<B>, 3> ref, View<const Pixel<B>, 3> supp, View<float, 3> flow,
                 LevelProbe&& probe) const {
        const auto scope = backend.scope();
        const int H = ref.extent(0), W = ref.extent(1);
        const int height = (H + multiple - 1) / multiple * multiple, width = (W + multiple - 1) / multiple * multiple;
        const Pyramid refs = pyramid(backend, ref, height, width), supps = pyramid(backend, supp, height, width);
        View<Pixel<B>, 3> coarse{};
        for (int k = 0; k < C.levels; ++k) {
            const int h = refs[std::size_t(k)].extent(0), w = refs[std::size_t(k)].extent(1);
            // The coarser level's flow, twice as long; 0 at the coarsest.
            const auto up = backend.template scratch<Pixel<B>>(h, w, 2);
            if (k == 0)
                fill_zero(backend, up);
            else
                resize_bilinear(backend, coarse, Corners::aligned, up, {2, 2});
            const auto warped = backend.template scratch<Pixel<B>>(h, w, 3);
            const auto x = backend.scratch(h, w, 8);
            flow_warp(backend, supps[std::size_t(k)], as_elements<float>(backend, up), Padding::border, warped);
            concat_channels(backend, rows_of(refs[std::size_t(k)]), rows_of(warped), rows_of(up), rows_of(x));
            const auto fine = backend.template scratch<Pixel<B>>(h, w, 2);
            levels_[std::size_t(k)].forward(backend, x, up, fine);
            probe(k, View<const Pixel<B>, 3>(fine));
            coarse = fine;
        }
        const auto resized = backend.template scratch<Pixel<B>>(H, W, 2);
        resize_bilinear(backend, coarse, Corners::apart, resized, {float(W) / float(width), float(H) / float(height)});
        convert(backend, rows_of(resized), rows_of(flow));
    }
    void forward(B& backend, View<const Pixel<B>, 3> ref, View<const Pixel<B>, 3> supp, View<float, 3> flow) const {
        forward(backend, ref, supp, flow, [](int, View<const Pixel<B>, 3>) {});
    }

    /// What a weight file says of a network of its own.
    static std::map<std::string, std::string> metadata() {
        std::string channels;
        for (int i = 0; i < C.channels.count(); ++i)
            channels += (i > 0 ? "," : "") + std::to_string(C.channels.value[i]);
        return {{"flow", name},
                {"levels", std::to_string(C.levels)},
                {"kernel_size", std::to_string(C.kernel_size)},
                {"channels", channels}};
    }

    /// Mean and deviation of ImageNet, as the official code has them; a file may hold others.
    void reset_buffers() {
        constexpr double mean[] = {0.485, 0.456, 0.406}, std[] = {0.229, 0.224, 0.225};
        for (int c = 0; c < 3; ++c) {
            mean_.view().data[c] = Scalar(mean[c]);
            std_.view().data[c] = Scalar(std[c]);
        }
    }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("basic_module", self.levels_);
        visit("mean", self.mean_);
        visit("std", self.std_);
    }

private:
    using Pyramid = std::array<View<const Pixel<B>, 3>, std::size_t(C.levels)>;  // coarsest first

    /// The frame resized to (height, width), normalised, and halved level by level.
    Pyramid pyramid(B& backend, View<const Pixel<B>, 3> frame, int height, int width) const {
        Pyramid levels;
        const auto finest = backend.template scratch<Pixel<B>>(height, width, 3);
        resize_bilinear(backend, frame, Corners::apart, finest);
        normalize_channels(backend, rows_of(finest), mean_.view().reshape(3), std_.view().reshape(3), rows_of(finest));
        levels[std::size_t(C.levels - 1)] = finest;
        for (int k = C.levels - 2; k >= 0; --k) {
            const auto& finer = levels[std::size_t(k + 1)];
            const auto level = backend.template scratch<Pixel<B>>(finer.extent(0) / 2, finer.extent(1) / 2, 3);
            avg_pool2d(backend, finer, 2, level);
            levels[std::size_t(k)] = level;
        }
        return levels;
    }

    std::array<SpyNetLevel<C, B>, std::size_t(C.levels)> levels_;
    ParameterBuffer<B, 1, 3, 1, 1> mean_, std_;
};

}  // namespace mia
