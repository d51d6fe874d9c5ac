#include "inspect/frame_pictures.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "mia/visual/compose.hpp"
#include "mia/visual/difference_map.hpp"
#include "mia/visual/flow_wheel.hpp"
#include "mia/visual/mask_overlay.hpp"

namespace {

constexpr int least_width = 320;  // smaller pictures are enlarged: a flow of 160 x 90 is hard to see

Picture enlarged(const Picture& picture) {
    const auto view = picture.view();
    const int factor = std::max(1, least_width / view.extent(1));
    Picture large(factor * view.extent(0), factor * view.extent(1), 3);
    mia::repeat_pixels(view, factor, large.view());
    return large;
}

Picture drawn_flow(const Picture& flow, int height, int width, float full) {
    Picture picture(height, width, 3);
    if (flow.size() == 0)
        mia::fill(picture.view(), mia::white);  // the first frame has none before it
    else
        mia::draw_flow(flow.view(), full, picture.view());
    return enlarged(picture);
}

}  // namespace

Picture flow_picture(const FrameResult& frame, PictureScales& scales) {
    const FrameRecord& record = frame.record;
    if (record.to_previous.size() == 0 && record.to_next.size() == 0) return {};
    if (scales.flow_pixels == 0)
        for (const auto* flow : {&record.to_previous, &record.to_next})
            if (flow->size() > 0)  // a little more than most of the vectors have, at least a pixel
                scales.flow_pixels =
                    std::max({1.f, scales.flow_pixels, std::ceil(mia::flow_length(flow->view(), 0.99))});
    const Picture before = drawn_flow(record.to_previous, frame.input.height, frame.input.width, scales.flow_pixels),
                  after = drawn_flow(record.to_next, frame.input.height, frame.input.width, scales.flow_pixels);
    Picture wheel(std::min(160, before.view().extent(0)), std::min(160, before.view().extent(0)), 3);
    mia::draw_flow_legend(wheel.view());
    constexpr mia::Rgb gray{0.8f, 0.8f, 0.8f};  // no motion is white
    return mia::side_by_side(std::array<mia::View<const float, 3>, 3>{before.view(), after.view(), wheel.view()}, 8,
                             gray);
}

Picture mask_picture(const FrameResult& frame) {
    bool any = false;
    std::vector<Picture> rows;
    for (const BranchStep& step : frame.record.branches) {
        std::vector<Picture> blocks;
        for (const auto& mask : step.masks) {
            any |= mask.size() > 0;
            Picture block(frame.input.height, frame.input.width, 3);
            mia::draw_mask(frame.input.view(), mask.size() > 0 ? mask.view() : mia::View<const std::uint8_t, 2>{},
                           block.view());
            blocks.push_back(enlarged(block));
        }
        if (blocks.empty()) continue;
        const std::vector<mia::View<const float, 3>> views(blocks.begin(), blocks.end());
        rows.push_back(mia::side_by_side(views));
    }
    if (!any) return {};
    const std::vector<mia::View<const float, 3>> views(rows.begin(), rows.end());
    return mia::one_below_the_other(views);
}

Picture difference_picture(const FrameResult& frame, const PictureScales& scales) {
    const int height = frame.result.extent(0), width = frame.result.extent(1);
    Picture map(height, width, 3), bar(16, width, 3);
    mia::draw_difference(frame.result, frame.bicubic, scales.difference_codes, map.view());
    mia::draw_difference_legend(bar.view());
    return mia::one_below_the_other(std::array<mia::View<const float, 3>, 2>{map.view(), bar.view()});
}

Picture comparison_picture(const FrameResult& frame, int scale) {
    Picture large(frame.result.extent(0), frame.result.extent(1), 3);
    mia::repeat_pixels(frame.input.view(), scale, large.view());
    return mia::side_by_side(std::array<mia::View<const float, 3>, 3>{large.view(), frame.bicubic, frame.result});
}
