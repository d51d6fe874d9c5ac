#pragma once
#include <array>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/video/zimg.hpp"

namespace mia {

enum class ResizeFilter {
    bilinear,
    bicubic,   ///< Keys' cubic with a = -0.5: the "bicubic" of the field's tables (MATLAB's imresize)
    spline36,  ///< six taps, sharper than bicubic
    lanczos    ///< three lobes, the sharpest; rings the most
};

/// RGB frames to another size, by zimg, on the values as they are (not in linear light). Smaller sizes are low-pass
/// filtered: the filter is stretched by the ratio; edges are mirrored. Keeps its working memory from frame to frame.
class FrameResizer {
public:
    explicit FrameResizer(ResizeFilter filter = ResizeFilter::bicubic) : filter_(filter) {}

    /// in: (H, W, 3) -> out: (H', W', 3). Values are not clamped: bicubic and sharper filters overshoot at edges, and
    /// NaN spreads as far as the filter reaches.
    void resize(View<const float, 3> in, View<float, 3> out) {
        require(in.size() > 0 && out.size() > 0 && in.extent(2) == 3 && out.extent(2) == 3, "FrameResizer: from ",
                shape_text(in), " to ", shape_text(out), ". Give it (height, width, 3), none of them 0.");
        const std::array<int, 4> sizes = {in.extent(0), in.extent(1), out.extent(0), out.extent(1)};
        if (sizes != sizes_) prepare(sizes);
        const auto same = [](float x) { return x; };
        detail::split_rgb(in, in_, same);
        graph_.run(in_, out_);
        detail::join_rgb(out_, out, same);
    }

private:
    void prepare(const std::array<int, 4>& sizes) {
        const auto from = detail::rgb_format(sizes[0], sizes[1]), to = detail::rgb_format(sizes[2], sizes[3]);
        sizes_ = {};  // stays so when zimg refuses
        graph_.build(from, to, params());
        in_.resize(from);
        out_.resize(to);
        sizes_ = sizes;
    }

    zimg_graph_builder_params params() const {
        auto params = detail::default_params();
        switch (filter_) {
            case ResizeFilter::bilinear:
                params.resample_filter = ZIMG_RESIZE_BILINEAR;
                break;
            case ResizeFilter::bicubic:
                params.resample_filter = ZIMG_RESIZE_BICUBIC;
                params.filter_param_a = 0;  // Mitchell and Netravali's B and C
                params.filter_param_b = 0.5;
                break;
            case ResizeFilter::spline36:
                params.resample_filter = ZIMG_RESIZE_SPLINE36;
                break;
            case ResizeFilter::lanczos:
                params.resample_filter = ZIMG_RESIZE_LANCZOS;
                params.filter_param_a = 3;
                break;
        }
        return params;
    }

    ResizeFilter filter_;
    detail::ZimgGraph graph_;
    detail::Planes<float> in_, out_;
    std::array<int, 4> sizes_ = {};  // of the graph: H, W, H', W'
};

}  // namespace mia
