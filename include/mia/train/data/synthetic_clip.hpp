#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/metrics/imresize.hpp"
#include "mia/train/data/clip.hpp"

namespace mia {

/// In pixels, x to the right, y down.
struct PlanePoint {
    double x = 0, y = 0;
};

/// Where the points of a picture lie in a photo: center + zoom * rotation by `angle` of the point. Points of the
/// picture count from its middle, those of the photo from the centre of its first pixel.
struct Similarity {
    PlanePoint center;  ///< of the picture, in the photo
    double zoom = 1;    ///< photo pixels a picture pixel
    double angle = 0;   ///< radians, from x towards y

    PlanePoint to_photo(PlanePoint p) const {
        const double c = zoom * std::cos(angle), s = zoom * std::sin(angle);
        return {center.x + c * p.x - s * p.y, center.y + s * p.x + c * p.y};
    }
    PlanePoint to_picture(PlanePoint q) const {
        const double c = std::cos(angle) / zoom, s = std::sin(angle) / zoom, x = q.x - center.x, y = q.y - center.y;
        return {c * x + s * y, c * y - s * x};
    }
};

/// A closed curve in the photo: its distance from `center` is radius * (1 + sum_k amplitude[k] cos((k + 1) a +
/// phase[k])) in direction a.
struct Outline {
    PlanePoint center;
    double radius = 1;
    std::array<double, 4> amplitude{}, phase{};

    /// Photo pixels from q to the curve along the ray through q, positive inside.
    double depth(PlanePoint q) const {
        const double x = q.x - center.x, y = q.y - center.y, angle = std::atan2(y, x);
        double curve = 1;
        for (std::size_t k = 0; k < amplitude.size(); ++k)
            curve += amplitude[k] * std::cos(double(k + 1) * angle + phase[k]);
        return radius * curve - std::hypot(x, y);
    }
    /// What depth(q) is not below and not above, in any direction.
    std::pair<double, double> depth_bounds(PlanePoint q) const {
        double spread = 0;
        for (const double a : amplitude) spread += std::abs(a);
        const double distance = std::hypot(q.x - center.x, q.y - center.y);
        return {radius * (1 - spread) - distance, radius * (1 + spread) - distance};
    }
};

/// A piece of the photo that moves as one.
struct SceneLayer {
    std::vector<Similarity> path;    ///< one a frame
    std::optional<Outline> outline;  ///< what is cut out of the photo; without it the layer fills the picture
};

/// A clip of moving pieces of one photo, of which everything is known: each frame, and where each of its points goes.
/// The photo must outlive it. It mirrors beyond its edges.
class SyntheticScene {
public:
    /// photo: (H, W, 3) of 8 bits. layers: from back to front, the first without outline, all with as many frames.
    /// Error otherwise.
    SyntheticScene(View<const std::uint8_t, 3> photo, int height, int width, std::vector<SceneLayer> layers)
        : photo_(photo), height_(height), width_(width), layers_(std::move(layers)) {
        require(height > 0 && width > 0 && photo.size() > 0 && photo.extent(2) == 3, "SyntheticScene: ", width, " x ",
                height, " out of a photo ", shape_text(photo), ". Give a size, and a photo of RGB.");
        require(!layers_.empty() && !layers_.front().outline && !layers_.front().path.empty(),
                "SyntheticScene: the first of ", layers_.size(),
                " layers has an outline or no frame, or is missing. Give first the one that fills the picture.");
        for (const SceneLayer& layer : layers_) {
            require(layer.path.size() == layers_.front().path.size(), "SyntheticScene: a layer's path has ",
                    layer.path.size(), " frames, the first one's ", layers_.front().path.size(), ". Give all as many.");
            for (const Similarity& place : layer.path)
                require(place.zoom > 0 && place.zoom <= max_zoom, "SyntheticScene: zoom ", place.zoom,
                        ". Give one above 0 and up to ", max_zoom, ".");
        }
    }

    static constexpr double max_zoom = 64;

    int frames() const { return int(layers_.front().path.size()); }
    int height() const { return height_; }
    int width() const { return width_; }

    /// Frame t into picture: (height, width, 3), in [0, 1] but for the kernel's overshoot.
    void draw(int t, View<float, 3> picture) const {
        check(t);
        require(picture.extent(0) == height_ && picture.extent(1) == width_ && picture.extent(2) == 3,
                "SyntheticScene: draw into ", shape_text(picture), ". Give (", height_, ", ", width_, ", 3).");
        Sampler sampler(photo_);
        for (int i = 0; i < height_; ++i)
            for (int j = 0; j < width_; ++j) {
                float* pixel = &picture(i, j, 0);
                const PlanePoint p = point(i, j);
                std::size_t back = layers_.size() - 1;  // what lies behind an opaque layer is not seen
                while (back > 0 && opacity(layers_[back], t, p) < 1) --back;
                for (; back < layers_.size(); ++back) blend(layers_[back], t, p, sampler, pixel);
            }
    }

    /// The layer in front at a point of frame t, counted from the back.
    int layer_at(int t, PlanePoint p) const {
        check(t);
        int front = int(layers_.size()) - 1;
        while (front > 0 && opacity(layers_[std::size_t(front)], t, p) < 0.5) --front;
        return front;
    }

    /// Where a point of frame `from`, on the layer in front, lies in frame `to`: maybe outside, or behind another
    /// layer.
    PlanePoint follow(int from, int to, PlanePoint p) const {
        check(to);
        const auto& path = layers_[std::size_t(layer_at(from, p))].path;
        return path[std::size_t(to)].to_picture(path[std::size_t(from)].to_photo(p));
    }

    /// flow: (height, width, 2), pixels, x then y: what each pixel of frame `from` moves by until frame `to`. Warped by
    /// it, frame `to` becomes frame `from` where no layer covers another.
    void flow(int from, int to, View<float, 3> flow) const {
        require(flow.extent(0) == height_ && flow.extent(1) == width_ && flow.extent(2) == 2,
                "SyntheticScene: flow into ", shape_text(flow), ". Give (", height_, ", ", width_, ", 2).");
        for (int i = 0; i < height_; ++i)
            for (int j = 0; j < width_; ++j) {
                const PlanePoint p = point(i, j), q = follow(from, to, p);
                flow(i, j, 0) = float(q.x - p.x);
                flow(i, j, 1) = float(q.y - p.y);
            }
    }

    /// The place of pixel (i, j), counted from the picture's middle.
    PlanePoint point(int i, int j) const { return {j - 0.5 * (width_ - 1), i - 0.5 * (height_ - 1)}; }

private:
    /// The photo between its pixels: Keys' cubic kernel, widened where the photo shrinks so that nothing aliases. The
    /// kernel's square lies along the photo's axes whatever the angle.
    class Sampler {
    public:
        explicit Sampler(View<const std::uint8_t, 3> photo) : photo_(photo) {}

        std::array<double, 3> at(PlanePoint q, double zoom) {
            const Axis& x = across_.at(q.x, zoom, photo_.extent(1));
            const Axis& y = down_.at(q.y, zoom, photo_.extent(0));
            std::array<double, 3> sum{};
            for (std::size_t i = 0; i < y.index.size(); ++i) {
                std::array<double, 3> row{};
                const std::uint8_t* from = &photo_(y.index[i], 0, 0);
                for (std::size_t j = 0; j < x.index.size(); ++j)
                    for (std::size_t c = 0; c < 3; ++c) row[c] += x.weight[j] * from[3 * std::size_t(x.index[j]) + c];
                for (std::size_t c = 0; c < 3; ++c) sum[c] += y.weight[i] * row[c];
            }
            const double scale = 1 / (255 * x.sum * y.sum);
            for (double& value : sum) value *= scale;
            return sum;
        }

    private:
        struct Axis {
            std::vector<int> index;
            std::vector<double> weight;
            double sum = 0;

            const Axis& at(double q, double zoom, int size) {
                const double z = 1 / std::max(1., zoom), reach = detail::kernel_support(ResizeKernel::cubic) / z;
                index.clear();
                weight.clear();
                sum = 0;
                for (int j = int(std::floor(q - reach)) + 1; j < q + reach; ++j) {
                    index.push_back(j >= 0 && j < size ? j : detail::mirrored(j, size));
                    weight.push_back(detail::kernel_value(ResizeKernel::cubic, z * (q - j)));
                    sum += weight.back();
                }
                return *this;
            }
        };

        View<const std::uint8_t, 3> photo_;
        Axis across_, down_;
    };

    /// Fades from 0 to 1 over one pixel of the picture.
    static double opacity(const SceneLayer& layer, int t, PlanePoint p) {
        if (!layer.outline) return 1;
        const Similarity& place = layer.path[std::size_t(t)];
        const PlanePoint q = place.to_photo(p);
        const auto [least, most] = layer.outline->depth_bounds(q);  // decide for most points, without angles
        if (most < -place.zoom) return 0;
        if (least > place.zoom) return 1;
        return std::clamp(0.5 + layer.outline->depth(q) / place.zoom, 0., 1.);
    }

    static void blend(const SceneLayer& layer, int t, PlanePoint p, Sampler& sampler, float* pixel) {
        const double alpha = opacity(layer, t, p);
        if (alpha == 0) return;
        const Similarity& place = layer.path[std::size_t(t)];
        const auto color = sampler.at(place.to_photo(p), place.zoom);
        for (std::size_t c = 0; c < 3; ++c)
            pixel[c] = float(alpha == 1 ? color[c] : (1 - alpha) * double(pixel[c]) + alpha * color[c]);
    }

    void check(int t) const {
        require(t >= 0 && t < frames(), "SyntheticScene: frame ", t, " of ", frames(), ". Give one of 0 to ",
                frames() - 1, ".");
    }

    View<const std::uint8_t, 3> photo_;
    int height_, width_;
    std::vector<SceneLayer> layers_;
};

/// All frames, rounded to 8 bits.
inline Clip drawn_clip(const SyntheticScene& scene, std::string name) {
    Clip clip;
    clip.name = std::move(name);
    std::vector<float> picture(std::size_t(scene.height()) * std::size_t(scene.width()) * 3);
    const View<float, 3> view{picture.data(), {scene.height(), scene.width(), 3}};
    for (int t = 0; t < scene.frames(); ++t) {
        scene.draw(t, view);
        clip.append(view);
    }
    return clip;
}

}  // namespace mia
