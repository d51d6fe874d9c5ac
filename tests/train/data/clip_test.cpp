#include "mia/train/data/clip.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "train/data/pictures.hpp"

namespace mia {
namespace {

TEST(Clip, RoundsAndKeepsOneSize) {
    test::Picture frame(1, 1), other(1, 2);
    frame.values = {-0.2f, 0.4999f / 255, 1.5f};
    Clip clip;
    clip.append(frame.view);
    frame.values = {0.5f / 255, 254.4f / 255, 1};
    clip.append(frame.view);
    EXPECT_EQ(clip.pixels, (std::vector<std::uint8_t>{0, 0, 255, 1, 254, 255}));
    EXPECT_EQ(clip.frames, 2);
    EXPECT_THROW(clip.append(other.view), Error);
}

TEST(Clip, CopiesARegion) {
    const Clip clip = test::noise_clip(2, 5, 6);
    test::Picture part(2, 3);
    copy_region(clip.view()[1], {3, 1, 2, 3}, part.view);
    EXPECT_FLOAT_EQ(part.view(1, 2, 0), float(clip.view()(1, 4, 3, 0)) / 255);
    EXPECT_FLOAT_EQ(part.view(0, 0, 2), float(clip.view()(1, 3, 1, 2)) / 255);
}

}  // namespace
}  // namespace mia
