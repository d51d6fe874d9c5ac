#pragma once
#include <zimg.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>

#include "mia/core/error.hpp"
#include "mia/core/tensor.hpp"
#include "mia/core/view.hpp"

// zimg works on planes, through a graph of filters that is built once for two formats; pictures in files and in this
// library are often interleaved. Both halves of that are here.

namespace mia::detail {

/// Float for anything below 0 or above 1 as well, NaN included.
inline float clamp01(float x) { return x > 0 ? std::min(x, 1.f) : 0.f; }

/// Three planes in zimg's layout: addresses and strides are multiples of a cache line, 64 bytes.
template <class T>
class Planes {
public:
    /// Contents are undefined afterwards. Allocates only when the samples do not fit what is there.
    void resize(const zimg_image_format& format) {
        std::size_t count = 0;
        for (std::size_t p = 0; p < 3; ++p) {
            const unsigned right = p == 0 ? 0 : format.subsample_w, down = p == 0 ? 0 : format.subsample_h;
            constexpr std::size_t line = cache_line / sizeof(T);
            widths_[p] = int(format.width >> right);
            heights_[p] = int(format.height >> down);
            strides_[p] = (std::size_t(widths_[p]) + line - 1) / line * line;
            offsets_[p] = count;
            count += strides_[p] * std::size_t(heights_[p]);
        }
        memory_.reserve(count);
    }

    int width(int plane) const { return widths_[std::size_t(plane)]; }
    int height(int plane) const { return heights_[std::size_t(plane)]; }
    T* row(int plane, int y) const {
        const auto p = std::size_t(plane);
        return memory_.data() + offsets_[p] + strides_[p] * std::size_t(y);
    }

    /// `Buffer`: zimg_image_buffer or zimg_image_buffer_const.
    template <class Buffer>
    Buffer buffer() const {
        Buffer result = {ZIMG_API_VERSION, {}};
        for (std::size_t p = 0; p < 3; ++p) {
            result.plane[p].data = row(int(p), 0);
            result.plane[p].stride = std::ptrdiff_t(strides_[p] * sizeof(T));
            result.plane[p].mask = ZIMG_BUFFER_MAX;
        }
        return result;
    }

private:
    HostBuffer<T> memory_;
    std::array<int, 3> widths_ = {}, heights_ = {};
    std::array<std::size_t, 3> strides_ = {}, offsets_ = {};
};

inline zimg_image_format rgb_format(int height, int width) {
    zimg_image_format format;
    zimg_image_format_default(&format, ZIMG_API_VERSION);
    format.height = unsigned(height);
    format.width = unsigned(width);
    format.pixel_type = ZIMG_PIXEL_FLOAT;
    format.color_family = ZIMG_COLOR_RGB;
    format.matrix_coefficients = ZIMG_MATRIX_RGB;
    return format;
}

inline zimg_graph_builder_params default_params() {
    zimg_graph_builder_params params;
    zimg_graph_builder_params_default(&params, ZIMG_API_VERSION);
    return params;
}

/// A conversion from one format to another with its working memory. Running it allocates nothing.
class ZimgGraph {
public:
    /// Error with zimg's words when it cannot convert between the two.
    void build(const zimg_image_format& from, const zimg_image_format& to, const zimg_graph_builder_params& params) {
        graph_.reset(zimg_filter_graph_build(&from, &to, &params));
        if (graph_ == nullptr) fail();
        std::size_t bytes = 0;
        if (zimg_filter_graph_get_tmp_size(graph_.get(), &bytes) != ZIMG_ERROR_SUCCESS) fail();
        scratch_.reserve(std::max<std::size_t>(bytes, 1));
    }

    template <class In, class Out>
    void run(const Planes<In>& from, const Planes<Out>& to) {
        const auto in = from.template buffer<zimg_image_buffer_const>();
        const auto out = to.template buffer<zimg_image_buffer>();
        if (zimg_filter_graph_process(graph_.get(), &in, &out, scratch_.data(), nullptr, nullptr, nullptr, nullptr) !=
            ZIMG_ERROR_SUCCESS)
            fail();
    }

private:
    [[noreturn]] static void fail() {
        std::array<char, 256> words = {};
        zimg_get_last_error(words.data(), words.size());
        throw Error(text("zimg: ", words.data()));
    }

    struct Free {
        void operator()(zimg_filter_graph* graph) const { zimg_filter_graph_free(graph); }
    };
    std::unique_ptr<zimg_filter_graph, Free> graph_;
    HostBuffer<std::byte> scratch_;
};

/// rgb: (H, W, 3), each value through `map`, to planes of that size or a little more: there the edge is repeated.
template <class Map>
void split_rgb(View<const float, 3> rgb, const Planes<float>& planes, Map&& map) {
    const int height = rgb.extent(0), width = rgb.extent(1);
    for (int y = 0; y < planes.height(0); ++y) {
        const float* from = rgb.data + std::ptrdiff_t(std::min(y, height - 1)) * width * 3;
        float *r = planes.row(0, y), *g = planes.row(1, y), *b = planes.row(2, y);
        for (int x = 0; x < width; ++x) {
            r[x] = map(from[3 * x]);
            g[x] = map(from[3 * x + 1]);
            b[x] = map(from[3 * x + 2]);
        }
        for (float* row : {r, g, b}) std::fill(row + width, row + planes.width(0), row[width - 1]);
    }
}

/// Planes of the size of rgb, (H, W, 3), or larger, each value through `map`.
template <class Map>
void join_rgb(const Planes<float>& planes, View<float, 3> rgb, Map&& map) {
    const int width = rgb.extent(1);
    for (int y = 0; y < rgb.extent(0); ++y) {
        float* to = rgb.data + std::ptrdiff_t(y) * width * 3;
        const float *r = planes.row(0, y), *g = planes.row(1, y), *b = planes.row(2, y);
        for (int x = 0; x < width; ++x) {
            to[3 * x] = map(r[x]);
            to[3 * x + 1] = map(g[x]);
            to[3 * x + 2] = map(b[x]);
        }
    }
}

}  // namespace mia::detail
