// Converting a frame allocates nothing once the first one has shown how much is needed.
#include <gtest/gtest.h>

#include <utility>

#include "media.hpp"
#include "mia/video/color.hpp"
#include "mia/video/resize_frame.hpp"
#include "support/count_allocations.hpp"

namespace mia {
namespace {

// The odd size: its text in a message would need memory, and planes are padded.
TEST(FrameAllocations, NoneAfterTheFirstFrame) {
    for (const auto format : {AV_PIX_FMT_YUV420P10, AV_PIX_FMT_GBRP, AV_PIX_FMT_GRAY8}) {
        const auto coded = detail::make_frame();
        coded->format = format;
        coded->width = 133;
        coded->height = 101;
        detail::av_check(av_frame_get_buffer(coded.get(), 0), "test");
        VideoFrame small, large;
        small.resize(101, 133);
        large.resize(404, 532);
        FromRgb from;
        ToRgb to;
        FrameResizer up, down;
        const VideoColor color = output_color({});
        const auto once = [&] {
            up.resize(std::as_const(small).view(), large.view());
            down.resize(std::as_const(large).view(), small.view());
            from.convert(small.view(), color, *coded);
            to.convert(*coded, color, small.view());
        };
        once();
        const long before = allocations;
        once();
        EXPECT_EQ(allocations - before, 0) << av_get_pix_fmt_name(format);
    }
}

}  // namespace
}  // namespace mia
