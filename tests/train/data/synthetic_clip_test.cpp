#include "mia/train/data/synthetic_clip.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "train/data/pictures.hpp"

namespace mia {
namespace {

SyntheticScene moving(const Clip& photo, int height, int width, std::vector<Similarity> path) {
    return SyntheticScene(photo.view()[0], height, width, {{std::move(path), std::nullopt}});
}

/// The largest difference of frame 1, warped by the flow, from frame 0, where both show the same layer and the flow
/// stays inside.
double warping_error(const SyntheticScene& scene) {
    const int height = scene.height(), width = scene.width();
    test::Picture first(height, width), second(height, width), flow(height, width, 2), warped(height, width);
    scene.draw(0, first.view);
    scene.draw(1, second.view);
    scene.flow(0, 1, flow.view);
    Cpu cpu;
    flow_warp(cpu, second.view, flow.view, Padding::border, warped.view);
    double worst = 0;
    int seen = 0;
    for (int i = 0; i < height; ++i)
        for (int j = 0; j < width; ++j) {
            const double y = i + double(flow.view(i, j, 1)), x = j + double(flow.view(i, j, 0));
            if (y < 0 || x < 0 || y > height - 1 || x > width - 1) continue;
            bool same_layer = true;  // with its neighbours: edges are mixtures
            for (const double dy : {-2., 0., 2.})
                for (const double dx : {-2., 0., 2.}) {
                    const PlanePoint p = scene.point(i, j), q = scene.follow(0, 1, p);
                    same_layer &= scene.layer_at(0, {p.x + dx, p.y + dy}) == scene.layer_at(0, p) &&
                                  scene.layer_at(1, {q.x + dx, q.y + dy}) == scene.layer_at(0, p);
                }
            if (!same_layer) continue;
            ++seen;
            for (int c = 0; c < 3; ++c)
                worst = std::max(worst, std::abs(double(warped.view(i, j, c) - first.view(i, j, c))));
        }
    EXPECT_GT(seen, height * width / 3);
    return worst;
}

/// Bilinear interpolation of waves of 12 pixels and more errs by up to (2 pi / 12)^2 / 8 of their height, 60 / 255
/// each.
constexpr double interpolation = 0.02;

TEST(SyntheticClip, StandingStillIsTheCropInEveryByte) {
    const Clip photo = test::noise_clip(1, 30, 40);
    const auto scene = moving(photo, 8, 11, {{{20, 14.5}, 1, 0}});
    const Clip clip = drawn_clip(scene, "crop");
    test::Picture crop(8, 11), drawn(8, 11);
    copy_region(photo.view()[0], {11, 15, 8, 11}, crop.view);
    copy_region(clip.view()[0], {0, 0, 8, 11}, drawn.view);
    EXPECT_EQ(drawn.values, crop.values);
}

TEST(SyntheticClip, TranslationHasOneFlowEverywhere) {
    const Clip photo = test::smooth_clip(60, 70);
    const auto scene = moving(photo, 21, 30, {{{30, 30}, 1.5, 0.3}, {{33, 28.5}, 1.5, 0.3}});
    test::Picture flow(21, 30, 2);
    scene.flow(0, 1, flow.view);
    // The camera goes by (3, -1.5) in the photo, so what it sees goes back, turned by -0.3 and 1.5 times smaller.
    const double x = -(3 * std::cos(0.3) - 1.5 * std::sin(0.3)) / 1.5,
                 y = (1.5 * std::cos(0.3) + 3 * std::sin(0.3)) / 1.5;
    for (int i = 0; i < 21; ++i)
        for (int j = 0; j < 30; ++j) {
            EXPECT_NEAR(flow.view(i, j, 0), x, 1e-5);
            EXPECT_NEAR(flow.view(i, j, 1), y, 1e-5);
        }
    EXPECT_LT(warping_error(moving(photo, 21, 30, {{{30, 30}, 1, 0}, {{32.3, 28.6}, 1, 0}})), interpolation);
}

TEST(SyntheticClip, ZoomFlowsFromTheMiddle) {
    const Clip photo = test::smooth_clip(60, 70);
    const auto scene = moving(photo, 21, 30, {{{35, 30}, 1, 0}, {{35, 30}, 0.95, 0}});
    test::Picture flow(21, 30, 2);
    scene.flow(0, 1, flow.view);
    for (int i = 0; i < 21; ++i)
        for (int j = 0; j < 30; ++j) {
            EXPECT_NEAR(flow.view(i, j, 0), (j - 14.5) * (1 / 0.95 - 1), 1e-5);
            EXPECT_NEAR(flow.view(i, j, 1), (i - 10) * (1 / 0.95 - 1), 1e-5);
        }
    EXPECT_LT(warping_error(scene), interpolation);
}

TEST(SyntheticClip, RotationFlowsAroundTheMiddle) {
    const Clip photo = test::smooth_clip(60, 70);
    const double a = 0.1;
    const auto scene = moving(photo, 21, 30, {{{35, 30}, 1, 0}, {{35, 30}, 1, a}});
    test::Picture flow(21, 30, 2);
    scene.flow(0, 1, flow.view);
    for (int i = 0; i < 21; ++i)
        for (int j = 0; j < 30; ++j) {  // the camera turns by a: what it sees, by -a
            const double x = j - 14.5, y = i - 10;
            EXPECT_NEAR(flow.view(i, j, 0), std::cos(a) * x + std::sin(a) * y - x, 1e-5);
            EXPECT_NEAR(flow.view(i, j, 1), std::cos(a) * y - std::sin(a) * x - y, 1e-5);
        }
    EXPECT_LT(warping_error(scene), interpolation);
}

TEST(SyntheticClip, AnObjectCoversAndMovesOnItsOwn) {
    const Clip photo = test::smooth_clip(80, 90);
    const Outline disc{{60, 20}, 9, {}, {}};
    const std::vector<Similarity> still = {{{40, 50}, 1, 0}, {{40, 50}, 1, 0}};
    const std::vector<Similarity> object = {{{60, 20}, 1, 0}, {{57, 19}, 1, 0}};  // goes by (3, 1)
    const SyntheticScene scene(photo.view()[0], 41, 51, {{still, std::nullopt}, {object, disc}});
    EXPECT_EQ(scene.layer_at(0, {8.4, 0}), 1);
    EXPECT_EQ(scene.layer_at(0, {9.6, 0}), 0);
    EXPECT_EQ(scene.layer_at(1, {11.4, 1}), 1);
    EXPECT_EQ(scene.layer_at(1, {-6.6, 1}), 0);
    test::Picture flow(41, 51, 2), picture(41, 51);
    scene.flow(0, 1, flow.view);
    EXPECT_NEAR(flow.view(20, 25, 0), 3, 1e-6);
    EXPECT_NEAR(flow.view(20, 25, 1), 1, 1e-6);
    EXPECT_EQ(flow.view(2, 2, 0), 0);
    scene.draw(0, picture.view);
    EXPECT_NEAR(picture.view(20, 25, 1), photo.view()(0, 20, 60, 1) / 255., 1e-6);
    EXPECT_NEAR(picture.view(0, 0, 1), photo.view()(0, 30, 15, 1) / 255., 1e-6);
    EXPECT_LT(warping_error(scene), interpolation);
}

TEST(SyntheticClip, EdgesAreMixturesOfBothLayers) {
    Clip photo{"black and white", 1, 20, 40, {}};
    for (int i = 0; i < 20 * 40; ++i) photo.pixels.insert(photo.pixels.end(), 3, i % 40 < 20 ? 255 : 0);
    const std::vector<Similarity> white = {{{8, 10}, 1, 0}}, black = {{{30, 10}, 1, 0}};
    const SyntheticScene scene(photo.view()[0], 1, 9,
                               {{white, std::nullopt}, {black, Outline{{30, 10}, 2.25, {}, {}}}});
    test::Picture picture(1, 9);
    scene.draw(0, picture.view);
    // The fade is one pixel wide, its middle 2.25 pixels from the centre.
    const double expected[] = {1, 1, 0.25, 0, 0, 0, 0.25, 1, 1};
    for (int j = 0; j < 9; ++j) EXPECT_NEAR(picture.view(0, j, 0), expected[j], 1e-6) << j;
}

TEST(SyntheticClip, AnOutlineIsNoCircle) {
    const Outline outline{{5, 5}, 10, {0, 0.3, 0, 0}, {}};  // 1 + 0.3 cos(2 a)
    EXPECT_NEAR(outline.depth({5 + 12, 5}), 1, 1e-12);
    EXPECT_NEAR(outline.depth({5, 5 - 8}), -1, 1e-12);
}

TEST(SyntheticClip, ShrinkingDoesNotAlias) {
    Clip stripes{"stripes", 1, 120, 120, {}};  // of one pixel: grey from afar
    for (int i = 0; i < 120 * 120; ++i) stripes.pixels.insert(stripes.pixels.end(), 3, i % 2 == 0 ? 0 : 255);
    test::Picture picture(24, 24);
    moving(stripes, 24, 24, {{{59.3, 60.1}, 4, 0}}).draw(0, picture.view);
    for (const float value : picture.values) EXPECT_NEAR(value, 0.5, 0.01);
}

TEST(SyntheticClip, TheWayBackUndoes) {
    const Similarity place{{3, -4}, 1.7, 0.6};
    const PlanePoint p = place.to_picture(place.to_photo({5, 9}));
    EXPECT_NEAR(p.x, 5, 1e-12);
    EXPECT_NEAR(p.y, 9, 1e-12);
}

TEST(SyntheticClip, Errors) {
    const Clip photo = test::noise_clip(1, 9, 9);
    const std::vector<Similarity> one(1), two(2), bad = {{{}, 0, 0}};
    EXPECT_THROW(SyntheticScene(photo.view()[0], 4, 4, {}), Error);
    EXPECT_THROW(SyntheticScene(photo.view()[0], 0, 4, {{one, {}}}), Error);
    EXPECT_THROW(SyntheticScene(photo.view()[0], 4, 4, {{one, Outline{}}}), Error);
    EXPECT_THROW(SyntheticScene(photo.view()[0], 4, 4, {{one, {}}, {two, Outline{}}}), Error);
    EXPECT_THROW(moving(photo, 4, 4, bad), Error);
    test::Picture picture(4, 5);
    EXPECT_THROW(moving(photo, 4, 4, one).draw(0, picture.view), Error);
    EXPECT_THROW(moving(photo, 4, 5, one).draw(1, picture.view), Error);
    EXPECT_THROW(moving(photo, 4, 5, one).flow(0, 0, picture.view), Error);
}

}  // namespace
}  // namespace mia
