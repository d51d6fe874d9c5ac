#include "mia/video/reader_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "media.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::HasSubstr;

detail::Part part(std::optional<Position> start, std::optional<Position> end) {
    return {{.start = start, .end = end}, "in.mp4"};
}
std::string error_of(std::optional<Position> start, std::optional<Position> end) {
    return message_of([&] { part(start, end); });
}

/// The frames of a part of 100, each one tick long.
std::string frames_of(const detail::Part& part, AVRational unit) {
    std::int64_t from = 0, to = 0;
    while (from < 100 && part.is_before(from, from, unit)) ++from;
    for (to = from; to < 100 && !part.is_after(to, to, unit);) ++to;
    return text(from, " to ", to);
}

TEST(Part, HoldsTheFramesFromStartToBeforeEnd) {
    const AVRational unit = {1, 10};
    EXPECT_EQ(frames_of(part({}, {}), unit), "0 to 100");
    EXPECT_EQ(frames_of(part(FrameNumber{3}, {}), unit), "3 to 100");
    EXPECT_EQ(frames_of(part({}, FrameNumber{3}), unit), "0 to 3");
    EXPECT_EQ(frames_of(part(Seconds{0.3}, Seconds{0.7}), unit), "3 to 7");
    EXPECT_EQ(frames_of(part(Seconds{0.31}, Seconds{0.71}), unit), "4 to 8");
    EXPECT_EQ(frames_of(part(Seconds{0.3}, FrameNumber{5}), unit), "3 to 5");
    EXPECT_EQ(frames_of(part(Seconds{1e300}, {}), unit), "100 to 100");
    EXPECT_EQ(frames_of(part({}, Seconds{1e300}), unit), "0 to 100");
}

// Decimal seconds are not exact in binary, nor are 1001ths: the frame that is meant is taken all the same.
TEST(Part, SecondsMeanTheFrameThatBeginsThere) {
    for (const AVRational unit : {AVRational{1, 25}, AVRational{1001, 30000}, AVRational{1, 3}, AVRational{1, 60}})
        for (std::int64_t i = 0; i < 100; ++i) {
            const detail::Part from = part(Seconds{double(i) * unit.num / unit.den}, {});
            EXPECT_FALSE(from.is_before(i, i, unit));
            EXPECT_TRUE(i == 0 || from.is_before(i - 1, i - 1, unit));
        }
}

TEST(Part, EmptyWhateverTheVideoIs) {
    EXPECT_THAT(error_of(Seconds{2.5}, Seconds{2.5}), HasSubstr("in.mp4: the part from 2.5 s to 2.5 s is empty. Let"));
    EXPECT_THAT(error_of(FrameNumber{60}, FrameNumber{3}), HasSubstr("the part from frame 60 to frame 3 is empty"));
    EXPECT_EQ(error_of(FrameNumber{60}, Seconds{1}), "no error");  // that depends on the video
}

TEST(Part, WhatIsNoPosition) {
    EXPECT_THAT(error_of(Seconds{-1}, {}), HasSubstr("begin or end at -1 s. Give seconds or a frame number from 0 on"));
    EXPECT_THAT(error_of({}, FrameNumber{-1}), HasSubstr("at frame -1"));
    EXPECT_THAT(error_of(Seconds{std::numeric_limits<double>::quiet_NaN()}, {}), HasSubstr("at nan s"));
    EXPECT_THAT(error_of({}, Seconds{std::numeric_limits<double>::infinity()}), HasSubstr("at inf s"));
    for (const AVRational rate : {AVRational{0, 1}, AVRational{25, 0}, AVRational{-25, 1}})
        EXPECT_THAT(message_of([&] { detail::Part({.frame_rate = rate}, "in.mp4"); }),
                    HasSubstr("Give a positive one"));
}

TEST(Part, EndInTheOtherUnit) {
    EXPECT_EQ(part({}, FrameNumber{50}).end_seconds({25, 1}), 2);
    EXPECT_EQ(part({}, Seconds{2}).end_frame({25, 1}), 50);
    EXPECT_EQ(part({}, Seconds{2.01}).end_frame({25, 1}), 51);
    EXPECT_LT(part({}, {}).end_seconds({25, 1}), 0);
    EXPECT_LT(part({}, {}).end_frame({25, 1}), 0);
}

}  // namespace
}  // namespace mia
