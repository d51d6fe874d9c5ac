#include "mia/visual/mask_overlay.hpp"

#include <vector>

#include "visual/pictures.hpp"

namespace mia::test {
namespace {

TEST(MaskOverlay, ShareOfKeptTokens) {
    const std::vector<std::uint8_t> keep{1, 0, 0, 1, 1, 0, 0, 0};
    EXPECT_DOUBLE_EQ(kept_share({keep.data(), {2, 4}}), 0.375);
    EXPECT_DOUBLE_EQ(kept_share({}), 1);
}

TEST(MaskOverlay, KeptTokensAreTinted) {
    const std::vector<std::uint8_t> keep{1, 0, 1, 0, 1, 0};  // a column of padding
    const auto frame = plain(2, 2, {0.2f, 0.4f, 0.6f});
    auto picture = plain(2, 2, black);
    draw_mask(frame.view(), {keep.data(), {2, 3}}, picture.view(), {1, 0, 0}, 0.25f);
    expect_color(pixel_of(picture.view(), 0, 0), {0.4f, 0.3f, 0.45f}, "kept");
    expect_color(pixel_of(picture.view(), 0, 1), {0.2f, 0.4f, 0.6f}, "skipped");
    expect_color(pixel_of(picture.view(), 1, 0), {0.2f, 0.4f, 0.6f}, "skipped");
    expect_color(pixel_of(picture.view(), 1, 1), {0.4f, 0.3f, 0.45f}, "kept");
}

TEST(MaskOverlay, AnEmptyMaskKeepsAllAndTheFrameMayBeDrawnOver) {
    auto frame = plain(1, 2, black);
    draw_mask(frame.view(), {}, frame.view(), white, 1);
    expect_color(pixel_of(frame.view(), 0, 1), white, "kept");
}

TEST(MaskOverlay, ShapesThatDoNotFitAreErrors) {
    const std::vector<std::uint8_t> keep(4);
    auto frame = plain(2, 3, black);
    EXPECT_THROW(draw_mask(frame.view(), {keep.data(), {2, 2}}, frame.view()), Error);
    EXPECT_THROW(draw_mask(frame.view(), {}, plain(3, 2, black).view()), Error);
}

}  // namespace
}  // namespace mia::test
