#include "mia/train/data/random_scene.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "train/data/pictures.hpp"

namespace mia {
namespace {

TEST(RandomScene, CamerasStayInThePhoto) {
    const Clip photo = test::smooth_clip(60, 90);
    for (std::uint64_t n = 0; n < 200; ++n) {
        SampleRandom random(5, n);
        const int height = 20 + random.below(41), width = 20 + random.below(71);
        const auto path = detail::random_camera(photo.view()[0], 7, height, width, {.max_speed = 20}, random);
        ASSERT_EQ(path.size(), 7u);
        const detail::Box box = detail::box_of(path, height, width);
        EXPECT_TRUE(box.left >= -1e-9 && box.top >= -1e-9 && box.right <= 89 + 1e-9 && box.bottom <= 59 + 1e-9)
            << n << ": " << box.left << ' ' << box.top << ' ' << box.right << ' ' << box.bottom;
        for (const Similarity& place : path) EXPECT_TRUE(place.zoom > 1 - 1e-9 && place.zoom < 2 + 1e-9) << place.zoom;
    }
}

TEST(RandomScene, MotionIsWithinLimitsAndSmooth) {
    const MotionConfig config;
    double fastest = 0;
    for (std::uint64_t n = 0; n < 200; ++n) {
        SampleRandom random(6, n);
        const detail::Motion motion = detail::random_motion(config, 1.5, 2, 5, random);
        fastest = std::max(fastest, std::hypot(motion.velocity.x, motion.velocity.y));
        EXPECT_LE(std::hypot(motion.acceleration.x, motion.acceleration.y), config.max_acceleration + 1e-12);
        EXPECT_LE(std::abs(motion.rotation), config.max_rotation);
        EXPECT_LE(std::abs(motion.zoom_change), config.max_zoom_change);
        for (int t = -2; t < 2; ++t) {  // second differences are the acceleration: nothing jumps
            const double second = motion.way(t + 1).x - 2 * motion.way(t).x + motion.way(t - 1).x;
            EXPECT_NEAR(second, motion.acceleration.x, 1e-9);
        }
    }
    EXPECT_LE(fastest, config.max_speed + 1e-12);
    EXPECT_GT(fastest, 0.9 * config.max_speed);
}

TEST(RandomScene, AnObjectIsInThePictureMidway) {
    const Clip photo = test::smooth_clip(60, 90);
    int seen = 0;
    for (std::uint64_t n = 0; n < 40; ++n) {
        SampleRandom random(7, n);
        const auto scene = random_scene(photo.view()[0], 5, 24, 24, {.object_probability = 1}, random);
        bool here = false;
        for (int i = 0; i < 24; ++i)
            for (int j = 0; j < 24; ++j) here |= scene.layer_at(2, scene.point(i, j)) == 1;
        seen += here;
    }
    EXPECT_EQ(seen, 40);
}

TEST(RandomScene, AnObjectMovesSmoothlyWhileItTurns) {
    const Clip photo = test::smooth_clip(60, 90);
    const MotionConfig config{.max_zoom_change = 0.1, .max_rotation = 0.3};
    for (std::uint64_t n = 0; n < 20; ++n) {
        SampleRandom random(8, n);
        const SceneLayer object = detail::random_object(photo.view()[0], 6, 24, 24, config, random);
        std::vector<PlanePoint> seen;
        for (const Similarity& place : object.path) seen.push_back(place.to_picture(object.outline->center));
        const auto second = [&](std::size_t t) { return seen[t + 1].x - 2 * seen[t].x + seen[t - 1].x; };
        for (std::size_t t = 2; t < 5; ++t) EXPECT_NEAR(second(t), second(1), 1e-9);
        EXPECT_LE(std::abs(second(1)), config.max_acceleration + 1e-9);
    }
}

TEST(RandomScene, Errors) {
    const Clip photo = test::smooth_clip(20, 30);
    SampleRandom random(1, 1);
    EXPECT_NO_THROW(random_scene(photo.view()[0], 2, 20, 30, {}, random));
    EXPECT_THROW(random_scene(photo.view()[0], 2, 21, 30, {}, random), Error);
    EXPECT_THROW(random_scene(photo.view()[0], 0, 10, 10, {}, random), Error);
    EXPECT_THROW(random_scene(photo.view()[0], 2, 10, 10, {.min_zoom = 3, .max_zoom = 2}, random), Error);
    EXPECT_THROW(random_scene(photo.view()[0], 2, 10, 10, {.max_speed = -1}, random), Error);
}

}  // namespace
}  // namespace mia
