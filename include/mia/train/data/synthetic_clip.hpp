#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/micro_kernel.hpp"
#include "mia/core/transpose.hpp"
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

    /// For many points: sine and cosine are taken once.
    struct ToPhoto {
        PlanePoint center;
        double c, s;  ///< zoom times the angle's cosine and sine
        PlanePoint operator()(PlanePoint p) const {
            return {center.x + c * p.x - s * p.y, center.y + s * p.x + c * p.y};
        }
    };
    ToPhoto to_photo() const { return {center, zoom * std::cos(angle), zoom * std::sin(angle)}; }
    PlanePoint to_photo(PlanePoint p) const { return to_photo()(p); }
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
        const double x = q.x - center.x, y = q.y - center.y, distance = std::sqrt(x * x + y * y);
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
        std::vector<Similarity::ToPhoto> to_photo;
        for (const SceneLayer& layer : layers_) to_photo.push_back(layer.path[std::size_t(t)].to_photo());
        std::vector<double> alpha(layers_.size(), 1.);
        for (int i = 0; i < height_; ++i)
            for (int j = 0; j < width_; ++j) {
                float* pixel = &picture(i, j, 0);
                const PlanePoint p = point(i, j);
                std::size_t back = layers_.size() - 1;  // what lies behind an opaque layer is not seen
                while (back > 0 && (alpha[back] = opacity(layers_[back], t, to_photo[back](p))) < 1) --back;
                for (; back < layers_.size(); ++back)
                    if (alpha[back] > 0)
                        blend(alpha[back], sampler.at(to_photo[back](p), layers_[back].path[std::size_t(t)].zoom),
                              pixel);
            }
    }

    /// The layer in front at a point of frame t, counted from the back.
    int layer_at(int t, PlanePoint p) const {
        check(t);
        int front = int(layers_.size()) - 1;
        for (; front > 0; --front) {
            const SceneLayer& layer = layers_[std::size_t(front)];
            if (opacity(layer, t, layer.path[std::size_t(t)].to_photo(p)) >= 0.5) break;
        }
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

        std::array<float, 3> at(PlanePoint q, double zoom) {
            using simd::Row8;
            across_.place(q.x, zoom);
            down_.place(q.y, zoom);
            // The three channels of a pixel lie side by side: 8 pixels are three vectors, whatever their number.
            const int width = photo_.extent(1), bytes = 24 * simd::ceil_div(across_.count, 8);
            const std::uint8_t* from;
            std::ptrdiff_t stride = 3 * std::ptrdiff_t(width);
            if (across_.first >= 0 && 3 * across_.first + bytes <= 3 * width && down_.first >= 0 &&
                down_.first + down_.count <= photo_.extent(0)) {
                from = &photo_(down_.first, across_.first, 0);
            } else {
                mirror(stride = bytes);
                from = edge_.data();
            }
            Row8 sums[3] = {};
            for (int k = 0; k < bytes; k += 24) {
                Row8 column[3] = {}, w;
                for (int i = 0; i < down_.count; ++i)
#pragma GCC unroll 3
                    for (int part = 0; part < 3; ++part)
                        column[part] += down_.weight[std::size_t(i)] *
                                        eight_codes(from + i * stride + k + std::ptrdiff_t(8) * part);
                std::memcpy(&w, &across_.weight[std::size_t(k / 3)], sizeof w);
                sums[0] += column[0] * __builtin_shufflevector(w, w, 0, 0, 0, 1, 1, 1, 2, 2);
                sums[1] += column[1] * __builtin_shufflevector(w, w, 2, 3, 3, 3, 4, 4, 4, 5);
                sums[2] += column[2] * __builtin_shufflevector(w, w, 5, 5, 6, 6, 6, 7, 7, 7);
            }
            const float scale = 1 / (255 * across_.sum * down_.sum);
            std::array<float, 3> color{};
#pragma GCC unroll 24
            for (int k = 0; k < 24; ++k) color[std::size_t(k % 3)] += sums[k / 8][k % 8];
            for (float& value : color) value *= scale;
            return color;
        }

    private:
        static simd::Row8 eight_codes(const std::uint8_t* from) {
            typedef std::uint8_t Bytes __attribute__((vector_size(16)));
            typedef std::uint64_t Words __attribute__((vector_size(16)));
            typedef std::int32_t Integers __attribute__((vector_size(32)));
            std::uint64_t bits;
            std::memcpy(&bits, from, sizeof bits);
            const auto codes = (Bytes)Words{bits, 0};
            const auto wide = __builtin_shufflevector(codes, codes, 0, 8, 8, 8, 1, 8, 8, 8, 2, 8, 8, 8, 3, 8, 8, 8, 4,
                                                      8, 8, 8, 5, 8, 8, 8, 6, 8, 8, 8, 7, 8, 8, 8);
            return __builtin_convertvector((Integers)wide, simd::Row8);
        }

        /// Samples first ... first + count - 1 of an axis and what they weigh, 8 at a time, 0 beyond the last.
        struct Axis {
            int first = 0, count = 0;
            std::vector<float> weight;
            float sum = 0;

            void place(double q, double zoom) {
                using simd::Row8;
                const double z = 1 / std::max(1., zoom), reach = detail::kernel_support(ResizeKernel::cubic) / z;
                first = int(std::floor(q - reach)) + 1;
                count = int(std::ceil(q + reach)) - first;
                if (weight.size() < std::size_t(count + 8)) weight.resize(std::size_t(count + 8));
                const Row8 lane = {0, 1, 2, 3, 4, 5, 6, 7};
                Row8 sums{};
                for (int k = 0; k < count; k += 8) {
                    Row8 t = float(z) * (float(q - first - k) - lane);
                    t = t < 0 ? -t : t;
                    const Row8 near = (1.5f * t - 2.5f) * t * t + 1, far = ((-0.5f * t + 2.5f) * t - 4) * t + 2;
                    const Row8 w = t < 1 ? near : t < 2 ? far : Row8{};
                    std::memcpy(&weight[std::size_t(k)], &w, sizeof w);
                    sums += w;
                }
                sum = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
            }
        };

        /// The samples into edge_, rows of so many bytes.
        void mirror(std::ptrdiff_t stride) {
            edge_.resize(std::size_t(down_.count) * std::size_t(stride));
            for (int i = 0; i < down_.count; ++i)
                for (int j = 0; j < across_.count; ++j)
                    std::copy_n(&photo_(detail::mirrored(down_.first + i, photo_.extent(0)),
                                        detail::mirrored(across_.first + j, photo_.extent(1)), 0),
                                3, &edge_[std::size_t(i * stride + 3 * j)]);
        }

        View<const std::uint8_t, 3> photo_;
        Axis across_, down_;
        std::vector<std::uint8_t> edge_;  ///< samples that do not all lie in the photo
    };

    /// Of a layer at a point of the photo; fades from 0 to 1 over one pixel of the picture.
    static double opacity(const SceneLayer& layer, int t, PlanePoint q) {
        if (!layer.outline) return 1;
        const double zoom = layer.path[std::size_t(t)].zoom;
        const auto [least, most] = layer.outline->depth_bounds(q);  // decide for most points, without angles
        if (most < -zoom) return 0;
        if (least > zoom) return 1;
        return std::clamp(0.5 + layer.outline->depth(q) / zoom, 0., 1.);
    }

    static void blend(double alpha, const std::array<float, 3>& color, float* pixel) {
        for (std::size_t c = 0; c < 3; ++c)
            pixel[c] = alpha == 1 ? color[c] : float((1 - alpha) * double(pixel[c]) + alpha * double(color[c]));
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
