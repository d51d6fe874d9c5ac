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
    /// k = 0 ... 255. Error when the views have other shapes.
    SampleOrigin draw(std::uint64_t n, View<float, 4> lr, View<float, 4> hr) const {
        check(lr, hr);
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
            const Clip made = clip_of_photo(source.clip, origin.region, random);
            cut(made, origin, lr, hr);
        } else {
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
    Clip clip_of_photo(const Clip& photo, Region& region, SampleRandom& random) const {
        region.y = region.x = config_.scale * degradation_margin(config_.degradation, config_.scale);
        const auto scene = random_scene(photo.view()[0], config_.frames, region.height + 2 * region.y,
                                        region.width + 2 * region.x, config_.motion, random);
        return drawn_clip(scene, photo.name);
    }

    void cut(const Clip& clip, const SampleOrigin& origin, View<float, 4> lr, View<float, 4> hr) const {
        const Region& region = origin.region;
        const int height = region.height / config_.scale, width = region.width / config_.scale;
        std::vector<float> high(std::size_t(region.height) * std::size_t(region.width) * 3);
        std::vector<float> low(std::size_t(height) * std::size_t(width) * 3);
        const View<float, 3> high_view{high.data(), {region.height, region.width, 3}};
        const View<float, 3> low_view{low.data(), {height, width, 3}};
        for (int t = 0; t < config_.frames; ++t) {
            const auto frame = clip.view()[origin.first_frame + (origin.reversed ? config_.frames - 1 - t : t)];
            copy_region(frame, region, high_view);
            degrade_region(frame, region, config_.scale, config_.degradation, low_view);
            apply_symmetry(origin.symmetry, high_view, hr[t]);
            apply_symmetry(origin.symmetry, low_view, lr[t]);
        }
    }

    void check(View<float, 4> lr, View<float, 4> hr) const {
        const auto fits = [&](View<float, 4> x, int scale) {
            return x.extent(0) == config_.frames && x.extent(1) == scale * config_.height &&
                   x.extent(2) == scale * config_.width && x.extent(3) == 3;
        };
        require(fits(lr, 1) && fits(hr, config_.scale), "ClipSampler: draw into lr ", shape_text(lr), " and hr ",
                shape_text(hr), "; samples have ", config_.frames, " frames of ", config_.width, " x ", config_.height,
                " LR pixels at scale ", config_.scale, ". Give views of these shapes.");
    }

    std::vector<TrainingClip> clips_;
    ClipSamplerConfig config_;
    std::uint64_t seed_;
    std::vector<double> cumulative_;  ///< sums of the weights so far
};

}  // namespace mia
