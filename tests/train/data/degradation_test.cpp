#include "mia/train/data/degradation.hpp"

#include <gtest/gtest.h>

#include "train/data/pictures.hpp"

namespace mia {
namespace {

/// How many bytes of a region's LR differ from those of the whole frame's LR.
int differences(const Clip& clip, const Region& region, int scale, Degradation degradation) {
    const int height = clip.height / scale, width = clip.width / scale;
    test::Picture hr(height * scale, width * scale), whole(height, width),
        part(region.height / scale, region.width / scale);
    copy_region(clip.view()[0], {0, 0, height * scale, width * scale}, hr.view);
    degrade(hr.view, scale, degradation, whole.view);
    degrade_region(clip.view()[0], region, scale, degradation, part.view);
    int count = 0;
    for (int i = 0; i < part.view.extent(0); ++i)
        for (int j = 0; j < part.view.extent(1); ++j)
            for (int c = 0; c < 3; ++c)
                count += part.view(i, j, c) != whole.view(region.y / scale + i, region.x / scale + j, c);
    return count;
}

TEST(Degradation, OfARegionIsTheRegionOfTheDegraded) {
    const Clip clip = test::noise_clip(1, 62, 75);  // no multiple of 2 and 3, or of 4
    for (const auto degradation : {Degradation::bicubic, Degradation::blur})
        for (const int s : {2, 3, 4}) {
            const int bottom = 62 / s, right = 75 / s;
            for (const Region& region : {Region{s * 5, s * 6, s * 4, s * 3}, Region{0, 0, s * 2, s * 2},
                                         Region{s * (bottom - 1), s * (right - 2), s, s * 2}, Region{s, s * 3, s, s},
                                         Region{0, 0, s * bottom, s * right}})
                EXPECT_EQ(differences(clip, region, s, degradation), 0)
                    << "scale " << s << ", degradation " << int(degradation) << ", at " << region.y << ", " << region.x;
        }
}

TEST(Degradation, Errors) {
    const Clip clip = test::noise_clip(1, 18, 18);
    test::Picture lr(2, 2);
    const auto degrade_at = [&](Region region) {
        degrade_region(clip.view()[0], region, 4, Degradation::blur, lr.view);
    };
    degrade_at({8, 8, 8, 8});
    for (const Region& region :
         {Region{9, 8, 8, 8}, Region{8, 9, 8, 8}, Region{8, 8, 8, 12}, Region{12, 8, 8, 8}, Region{8, -4, 8, 8}})
        EXPECT_THROW(degrade_at(region), Error) << region.y << ' ' << region.x;
}

}  // namespace
}  // namespace mia
