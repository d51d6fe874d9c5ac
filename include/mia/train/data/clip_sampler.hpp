#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/train/data/clip.hpp"
#include "mia/train/data/degradation.hpp"
#include "mia/train/data/random_scene.hpp"
#include "mia/train/data/sample_random.hpp"
#include "mia/train/data/symmetry.hpp"
#include "mia/train/data/synthetic_clip.hpp"

namespace mia {

/// What a training sample is. The defaults are the paper's for REDS.
struct ClipSamplerConfig {
    int scale = 4;
    int frames = 16;
    int height = 64, width = 64;  ///< of the LR crop
    Degradation degradation = Degradation::bicubic;
    bool symmetries = true;     ///< one of the 8 for each sample
    bool reverse_time = false;  ///< every other sample runs backwards
    MotionConfig motion = {};   ///< of clips that are made of photos
};

/// What samples are cut out of.
struct TrainingClip {
    Clip clip;
    double weight = 1;      ///< samples come from it as often as its share of all weights
    bool is_photo = false;  ///< one frame, of which a new clip is made for each sample
};

/// Where a sample came from.
struct SampleOrigin {
    int clip = 0;         ///< of the sampler's
    int first_frame = 0;  ///< of the clip; 0 for photos
    Region region;        ///< HR pixels of the clip's frames; of the drawn frames for photos
    Symmetry symmetry;
    bool reversed = false;
};

namespace detail {

inline void check(const ClipSamplerConfig& config) {
    require(config.scale >= 2 && config.frames > 0 && config.height > 0 && config.width > 0,
            "ClipSampler: ", config.frames, " frames of ", config.width, " x ", config.height, " LR pixels at scale ",
            config.scale, ". Give positive sizes and a scale of 2 or more.");
    check(config.motion);
}

/// The longer side of a sample in HR pixels, as it may be transposed.
inline int longest_side(const ClipSamplerConfig& config) {
    return config.scale * std::max(config.height, config.width);
}

/// One fact a line: what decides the samples, but for the seed.
inline std::string facts_of(const ClipSamplerConfig& s) {
    const MotionConfig& m = s.motion;
    return text("frames ", s.frames, "\nheight ", s.height, "\nwidth ", s.width, "\ndegradation ",
                s.degradation == Degradation::bicubic ? "bicubic" : "blur", "\nsymmetries ", s.symmetries,
                "\nreverse_time ", s.reverse_time, "\nmotion ", m.max_speed, ' ', m.max_acceleration, ' ',
                m.max_zoom_change, ' ', m.max_rotation, ' ', m.min_zoom, ' ', m.max_zoom, ' ', m.object_probability,
                ' ', m.min_object, ' ', m.max_object, '\n');
}
inline std::string facts_of(const std::vector<TrainingClip>& clips) {
    std::string facts;
    for (const TrainingClip& source : clips)
        facts += text("clip ", source.clip.name, ", ", source.clip.frames, " frames of ", source.clip.width, " x ",
                      source.clip.height, ", weight ", source.weight, '\n');
    return facts;
}

}  // namespace detail

/// Why no sample can be cut out of a clip: "12 frames, 16 are needed". Empty when it can.
inline std::string why_unfit(const TrainingClip& source, const ClipSamplerConfig& config) {
    const Clip& clip = source.clip;
    const int frames = source.is_photo ? 1 : config.frames;
    if (clip.frames < frames || clip.frames == 0) return text(clip.frames, " frames, ", frames, " are needed");
    int height = config.scale * config.height, width = config.scale * config.width;
    if (config.symmetries) height = width = detail::longest_side(config);
    if (source.is_photo) {
        const int margin = 2 * config.scale * degradation_margin(config.degradation, config.scale);
        height = least_photo_side(height + margin, config.motion);
        width = least_photo_side(width + margin, config.motion);
    }
    if (clip.height >= height && clip.width >= width) return {};
    return text(clip.width, " x ", clip.height, " pixels, ", width, " x ", height, " are needed");
}

/// Training samples without end: sample n is a function of the clips, the configuration, the seed and n alone, so
/// threads may draw in any order and a resumed training sees what it would have seen. All draws are const and may run
/// at once.
///
/// Order of the draws for one sample: clip, symmetry, direction, then place and first frame, or the photo's scene. LR
/// frames are what degrading whole frames gives, cut out.
class ClipSampler {
public:
    /// Error when there is no clip, a clip is unfit (see why_unfit), a weight is not positive, or the configuration
    /// makes no sense.
    ClipSampler(std::vector<TrainingClip> clips, const ClipSamplerConfig& config, std::uint64_t seed)
        : clips_(std::move(clips)), config_(config), seed_(seed) {
        detail::check(config);
        require(!clips_.empty(), "ClipSampler: there is no clip. Give one or more.");
        double sum = 0;
        for (const TrainingClip& source : clips_) {
            const std::string reason = why_unfit(source, config);
            require(reason.empty(), "ClipSampler: ", source.clip.name, " has ", reason,
                    ". Leave it out, or ask for smaller samples.");
            require(source.weight > 0 && std::isfinite(source.weight), "ClipSampler: ", source.clip.name,
                    " has the weight ", source.weight, ". Give a positive one.");
            cumulative_.push_back(sum += source.weight);
        }
    }

    const ClipSamplerConfig& config() const { return config_; }
    const std::vector<TrainingClip>& clips() const { return clips_; }

    /// Sample n. lr: (frames, height, width, 3), hr: (frames, scale height, scale width, 3), both k / 255 with
    /// k = 0 ... 255; no hr: only lr is wanted. flow, if wanted: (height, width, 2), LR pixels, x then y, exactly what
    /// each LR pixel's centre moves by from the first frame to the second. Error when the views have other shapes, and
    /// when the flow of something else than a photo is asked for.
    SampleOrigin draw(std::uint64_t n, View<float, 4> lr, View<float, 4> hr, View<float, 3> flow = {}) const {
        check(lr, hr, flow);
        SampleRandom random(seed_, n);
        SampleOrigin origin;
        origin.clip = random_clip(random);
        const TrainingClip& source = clips_[std::size_t(origin.clip)];
        if (config_.symmetries) {
            origin.symmetry.flip_x = random.coin();
            origin.symmetry.flip_y = random.coin();
            origin.symmetry.transpose = random.coin();
        }
        origin.reversed = config_.reverse_time && random.coin();
        origin.region.height = config_.scale * config_.height;
        origin.region.width = config_.scale * config_.width;
        if (origin.symmetry.transpose) std::swap(origin.region.height, origin.region.width);

        if (source.is_photo) {
            const SyntheticScene scene = scene_of_photo(source.clip, origin.region, random);
            cut(drawn_clip(scene, source.clip.name), origin, lr, hr);
            if (flow.data) cut_flow(scene, origin, flow);
        } else {
            require(!flow.data, "ClipSampler: the flow of ", source.clip.name,
                    " was asked for, which nobody knows. Give photos only, of which clips are made.");
            place(source.clip, origin, random);
            cut(source.clip, origin, lr, hr);
        }
        return origin;
    }

private:
    int random_clip(SampleRandom& random) const {
        const double at = random.uniform() * cumulative_.back();
        const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end() - 1, at);
        return int(found - cumulative_.begin());
    }

    void place(const Clip& clip, SampleOrigin& origin, SampleRandom& random) const {
        Region& region = origin.region;
        origin.first_frame = random.below(clip.frames - config_.frames + 1);
        region.y = config_.scale * random.below((clip.height - region.height) / config_.scale + 1);
        region.x = config_.scale * random.below((clip.width - region.width) / config_.scale + 1);
    }

    /// Frames with a margin around the region, so that its LR pixels know what lies beyond.
    SyntheticScene scene_of_photo(const Clip& photo, Region& region, SampleRandom& random) const {
        region.y = region.x = config_.scale * degradation_margin(config_.degradation, config_.scale);
        return random_scene(photo.view()[0], config_.frames, region.height + 2 * region.y, region.width + 2 * region.x,
                            config_.motion, random);
    }

    void cut(const Clip& clip, const SampleOrigin& origin, View<float, 4> lr, View<float, 4> hr) const {
        const Region& region = origin.region;
        const int height = region.height / config_.scale, width = region.width / config_.scale;
        std::vector<float> high(std::size_t(region.height) * std::size_t(region.width) * 3);
        std::vector<float> low(std::size_t(height) * std::size_t(width) * 3);
        const View<float, 3> high_view{high.data(), {region.height, region.width, 3}};
        const View<float, 3> low_view{low.data(), {height, width, 3}};
        for (int t = 0; t < config_.frames; ++t) {
            const auto frame = clip.view()[origin.first_frame + source_frame(origin, t)];
            degrade_region(frame, region, config_.scale, config_.degradation, low_view);
            apply_symmetry(origin.symmetry, low_view, lr[t]);
            if (!hr.data) continue;
            copy_region(frame, region, high_view);
            apply_symmetry(origin.symmetry, high_view, hr[t]);
        }
    }

    void cut_flow(const SyntheticScene& scene, const SampleOrigin& origin, View<float, 3> flow) const {
        const Region& region = origin.region;
        const int scale = config_.scale, height = region.height / scale, width = region.width / scale;
        const int from = source_frame(origin, 0), to = source_frame(origin, 1);
        const PlanePoint corner = scene.point(region.y, region.x);
        std::vector<float> vectors;
        for (int i = 0; i < height; ++i)
            for (int j = 0; j < width; ++j) {  // an LR pixel's centre lies between HR pixels where the scale is even
                const PlanePoint p{corner.x + scale * j + 0.5 * (scale - 1), corner.y + scale * i + 0.5 * (scale - 1)};
                const PlanePoint q = scene.follow(from, to, p);
                vectors.insert(vectors.end(), {float((q.x - p.x) / scale), float((q.y - p.y) / scale)});
            }
        apply_symmetry_to_vectors(origin.symmetry, {vectors.data(), {height, width, 2}}, flow);
    }

    /// The frame, counted from the origin's first, that frame t of a sample is.
    int source_frame(const SampleOrigin& origin, int t) const { return origin.reversed ? config_.frames - 1 - t : t; }

    void check(View<float, 4> lr, View<float, 4> hr, View<float, 3> flow) const {
        const auto fits = [&](View<float, 4> x, int scale) {
            return x.extent(0) == config_.frames && x.extent(1) == scale * config_.height &&
                   x.extent(2) == scale * config_.width && x.extent(3) == 3;
        };
        require(!flow.data || (config_.frames >= 2 && flow.extent(0) == config_.height &&
                               flow.extent(1) == config_.width && flow.extent(2) == 2),
                "ClipSampler: draw a flow into ", shape_text(flow), "; samples have ", config_.frames, " frames of ",
                config_.width, " x ", config_.height, " LR pixels. Give a view (height, width, 2), and two frames.");
        require(fits(lr, 1) && (!hr.data || fits(hr, config_.scale)), "ClipSampler: draw into lr ", shape_text(lr),
                " and hr ", shape_text(hr), "; samples have ", config_.frames, " frames of ", config_.width, " x ",
                config_.height, " LR pixels at scale ", config_.scale, ". Give views of these shapes.");
    }

    std::vector<TrainingClip> clips_;
    ClipSamplerConfig config_;
    std::uint64_t seed_;
    std::vector<double> cumulative_;  ///< sums of the weights so far
};

}  // namespace mia
