#include "mia/video/hdr_metadata.hpp"

#include <gtest/gtest.h>

namespace mia::detail {
namespace {

TEST(HdrMetadata, InX265Words) {
    HdrMetadata hdr;
    EXPECT_EQ(x265_params(hdr), "");
    hdr.light = AVContentLightMetadata{1000, 400};
    EXPECT_EQ(x265_params(hdr), ":max-cll=1000,400");
    auto& screen = hdr.display.emplace();              // Display P3, D65, as SMPTE ST 2086 writes it
    EXPECT_EQ(x265_params(hdr), ":max-cll=1000,400");  // nothing is known of it
    screen.has_primaries = screen.has_luminance = 1;
    screen.display_primaries[0][0] = {680, 1000};
    screen.display_primaries[0][1] = {320, 1000};
    screen.display_primaries[1][0] = {265, 1000};
    screen.display_primaries[1][1] = {690, 1000};
    screen.display_primaries[2][0] = {150, 1000};
    screen.display_primaries[2][1] = {60, 1000};
    screen.white_point[0] = {3127, 10000};
    screen.white_point[1] = {3290, 10000};
    screen.max_luminance = {1000, 1};
    screen.min_luminance = {5, 1000};
    EXPECT_EQ(x265_params(hdr),
              ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400");
}

}  // namespace
}  // namespace mia::detail
