#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/train/data/sample_random.hpp"
#include "mia/train/data/synthetic_clip.hpp"

namespace mia {

/// What a random scene's camera and its object in front may do. Pixels are those of the picture.
struct MotionConfig {
    double max_speed = 8;           ///< pixels a frame; slow motion is drawn more often than fast
    double max_acceleration = 0.2;  ///< pixels a frame, each frame
    double max_zoom_change = 0.01;  ///< a frame, relative
    double max_rotation = 0.01;     ///< radians a frame
    double min_zoom = 1;            ///< photo pixels a picture pixel; 2 hides what JPEG left in the photo
    double max_zoom = 2;
    double object_probability = 0.5;
    double min_object = 0.1;  ///< mean radius, relative to the picture's shorter side
    double max_object = 0.3;
};

namespace detail {

inline void check(const MotionConfig& config) {
    require(config.max_speed >= 0 && config.max_acceleration >= 0 && config.max_zoom_change >= 0 &&
                config.max_rotation >= 0 && config.min_zoom > 0 && config.min_zoom <= config.max_zoom &&
                config.max_zoom <= SyntheticScene::max_zoom && config.min_object > 0 &&
                config.min_object <= config.max_object,
            "MotionConfig: a limit is negative, or zoom ", config.min_zoom, " to ", config.max_zoom, " or object ",
            config.min_object, " to ", config.max_object, " is no range. Give positive ranges, zooms up to ",
            SyntheticScene::max_zoom, ".");
}

/// What happens from frame to frame; frame 0 is the middle one here.
struct Motion {
    PlanePoint velocity, acceleration;  ///< picture pixels
    double zoom_change = 0;             ///< of the logarithm
    double rotation = 0;

    PlanePoint way(double t) const {
        return {t * velocity.x + 0.5 * t * t * acceleration.x, t * velocity.y + 0.5 * t * t * acceleration.y};
    }

    Motion times(double share) const {
        return {{share * velocity.x, share * velocity.y},
                {share * acceleration.x, share * acceleration.y},
                share * zoom_change,
                share * rotation};
    }
};

inline PlanePoint random_vector(double length, SampleRandom& random) {
    const double angle = random.between(0, 2 * std::numbers::pi);
    return {length * std::cos(angle), length * std::sin(angle)};
}

/// `zoom` is the middle frame's; it stays between the limits all along `frames`.
inline Motion random_motion(const MotionConfig& config, double zoom, double max_zoom, int frames,
                            SampleRandom& random) {
    const double speed = random.uniform();
    const double room = std::min(std::log(zoom / config.min_zoom), std::log(max_zoom / zoom)) / (0.5 * frames);
    Motion motion;
    motion.velocity = random_vector(config.max_speed * speed * speed, random);
    motion.acceleration = random_vector(config.max_acceleration * random.uniform(), random);
    motion.zoom_change = std::min(config.max_zoom_change, room) * random.between(-1, 1);
    motion.rotation = config.max_rotation * random.between(-1, 1);
    return motion;
}

/// The largest zoom within the limits at which a picture still lies in the photo, which holds it at the least zoom.
inline double most_zoom(View<const std::uint8_t, 3> photo, int height, int width, const MotionConfig& config) {
    const auto ratio = [](int of_photo, int of_picture) { return double(of_photo - 1) / std::max(1, of_picture - 1); };
    const double fits = std::min(ratio(photo.extent(0), height), ratio(photo.extent(1), width));
    return std::clamp(fits, config.min_zoom, config.max_zoom);
}

struct Box {
    double left = 0, top = 0, right = 0, bottom = 0;
};

/// Around the picture's corners in all frames of a path.
inline Box box_of(const std::vector<Similarity>& path, int height, int width) {
    Box box{1e30, 1e30, -1e30, -1e30};
    for (const Similarity& place : path)
        for (const double x : {-0.5, 0.5})
            for (const double y : {-0.5, 0.5}) {
                const PlanePoint q = place.to_photo({x * (width - 1), y * (height - 1)});
                box = {std::min(box.left, q.x), std::min(box.top, q.y), std::max(box.right, q.x),
                       std::max(box.bottom, q.y)};
            }
    return box;
}

/// A camera that never leaves the photo: motion that does not fit is halved until it does.
inline std::vector<Similarity> random_camera(View<const std::uint8_t, 3> photo, int frames, int height, int width,
                                             const MotionConfig& config, SampleRandom& random) {
    const double max_zoom = most_zoom(photo, height, width, config);
    const double zoom = random.between(config.min_zoom, max_zoom);
    Motion motion = random_motion(config, zoom, max_zoom, frames, random);
    std::vector<Similarity> path(static_cast<std::size_t>(frames));
    Box box;
    for (int halvings = 0;; ++halvings, motion = motion.times(halvings < 8 ? 0.5 : 0)) {
        for (int i = 0; i < frames; ++i) {
            const double t = i - 0.5 * (frames - 1);
            const PlanePoint way = motion.way(t);
            path[std::size_t(i)] = {
                {zoom * way.x, zoom * way.y}, zoom * std::exp(motion.zoom_change * t), motion.rotation * t};
        }
        box = box_of(path, height, width);
        if (halvings > 8) break;
        if (box.right - box.left <= photo.extent(1) - 1 && box.bottom - box.top <= photo.extent(0) - 1) break;
    }
    const double x = random.between(0, std::max(0., photo.extent(1) - 1 - (box.right - box.left))) - box.left;
    const double y = random.between(0, std::max(0., photo.extent(0) - 1 - (box.bottom - box.top))) - box.top;
    for (Similarity& place : path) place.center = {place.center.x + x, place.center.y + y};
    return path;
}

/// A piece of the photo in front, seen in the middle frame and moving on its own.
inline SceneLayer random_object(View<const std::uint8_t, 3> photo, int frames, int height, int width,
                                const MotionConfig& config, SampleRandom& random) {
    const double max_zoom = most_zoom(photo, height, width, config);
    const double zoom = random.between(config.min_zoom, max_zoom);
    const Motion motion = random_motion(config, zoom, max_zoom, frames, random);
    const PlanePoint middle{(width - 1) * random.between(-0.5, 0.5), (height - 1) * random.between(-0.5, 0.5)};
    Outline outline;
    outline.center = {random.between(0, photo.extent(1) - 1), random.between(0, photo.extent(0) - 1)};
    outline.radius = zoom * std::min(height, width) * random.between(config.min_object, config.max_object);
    for (std::size_t k = 0; k < outline.amplitude.size(); ++k) {
        outline.amplitude[k] = random.between(0, 0.2);
        outline.phase[k] = random.between(0, 2 * std::numbers::pi);
    }

    SceneLayer layer{{}, outline};
    for (int i = 0; i < frames; ++i) {
        const double t = i - 0.5 * (frames - 1);
        const PlanePoint way = motion.way(t);
        Similarity place{{}, zoom * std::exp(motion.zoom_change * t), motion.rotation * t};
        const PlanePoint offset = place.to_photo({middle.x + way.x, middle.y + way.y});
        place.center = {outline.center.x - offset.x, outline.center.y - offset.y};
        layer.path.push_back(place);
    }
    return layer;
}

}  // namespace detail

/// The least side of a photo that pictures with a side of so many pixels can be drawn from.
inline int least_photo_side(int pixels, const MotionConfig& config) {
    return int(std::ceil((pixels - 1) * config.min_zoom)) + 1;
}

/// A scene out of a photo: a camera with a smooth path that stays inside, and maybe an object in front, at even
/// acceleration both. The photo must outlive it. Error when it is too small, or the limits make no sense.
inline SyntheticScene random_scene(View<const std::uint8_t, 3> photo, int frames, int height, int width,
                                   const MotionConfig& config, SampleRandom& random) {
    detail::check(config);
    require(frames > 0 && height > 0 && width > 0 && photo.extent(0) >= least_photo_side(height, config) &&
                photo.extent(1) >= least_photo_side(width, config),
            "random_scene: ", frames, " frames of ", width, " x ", height, " out of a photo ", shape_text(photo),
            " at zoom ", config.min_zoom, ". Give a larger photo, or ask for smaller frames.");
    std::vector<SceneLayer> layers;
    layers.push_back({detail::random_camera(photo, frames, height, width, config, random), {}});
    if (random.uniform() < config.object_probability)
        layers.push_back(detail::random_object(photo, frames, height, width, config, random));
    return SyntheticScene(photo, height, width, std::move(layers));
}

}  // namespace mia
