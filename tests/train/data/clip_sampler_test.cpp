#include "mia/train/data/clip_sampler.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <thread>
#include <vector>

#include "mia/ops/flow_warp/flow_warp.hpp"
#include "train/data/pictures.hpp"

namespace mia {
namespace {

using testing::HasSubstr;

struct Sample {
    std::vector<float> lr, hr;
    SampleOrigin origin;
    View<float, 4> lr_view, hr_view;

    Sample(const ClipSampler& sampler, std::uint64_t n) {
        const auto& c = sampler.config();
        lr.resize(std::size_t(c.frames * c.height * c.width * 3));
        hr.resize(lr.size() * std::size_t(c.scale * c.scale));
        lr_view = {lr.data(), {c.frames, c.height, c.width, 3}};
        hr_view = {hr.data(), {c.frames, c.scale * c.height, c.scale * c.width, 3}};
        origin = sampler.draw(n, lr_view, hr_view);
    }
};

constexpr ClipSamplerConfig small{.frames = 3, .height = 5, .width = 7, .reverse_time = true};

std::vector<TrainingClip> two_clips_and_a_photo() {
    std::vector<TrainingClip> clips(3);
    clips[0].clip = test::noise_clip(5, 61, 50, 1);
    clips[1].clip = test::noise_clip(3, 31, 40, 2);
    clips[2].clip = test::smooth_clip(80, 100);
    clips[2].is_photo = true;
    return clips;
}

TEST(ClipSampler, PixelsAreTheClipsAndTheLrIsThatOfTheWholeFrame) {
    auto clips = two_clips_and_a_photo();
    clips.pop_back();
    const ClipSampler sampler(clips, small, 1);
    for (std::uint64_t n = 0; n < 20; ++n) {
        const Sample sample(sampler, n);
        const auto& origin = sample.origin;
        const Clip& clip = clips[std::size_t(origin.clip)].clip;
        const int height = clip.height / 4, width = clip.width / 4;
        for (int t = 0; t < 3; ++t) {
            const auto frame = clip.view()[origin.first_frame + (origin.reversed ? 2 - t : t)];
            test::Picture whole(4 * height, 4 * width), low(height, width);
            copy_region(frame, {0, 0, 4 * height, 4 * width}, whole.view);
            imresize_8_bit(whole.view, low.view);
            int wrong = 0;
            const auto compare = [&](View<const float, 3> of_frame, View<const float, 3> of_sample, int y0, int x0) {
                for (int i = 0; i < of_sample.extent(0); ++i)
                    for (int j = 0; j < of_sample.extent(1); ++j) {
                        int y = origin.symmetry.transpose ? j : i, x = origin.symmetry.transpose ? i : j;
                        const int ends = of_sample.extent(origin.symmetry.transpose) - 1;
                        const int sides = of_sample.extent(!origin.symmetry.transpose) - 1;
                        if (origin.symmetry.flip_y) y = ends - y;
                        if (origin.symmetry.flip_x) x = sides - x;
                        for (int c = 0; c < 3; ++c) wrong += of_sample(i, j, c) != of_frame(y0 + y, x0 + x, c);
                    }
            };
            compare(whole.view, sample.hr_view[t], origin.region.y, origin.region.x);
            compare(low.view, sample.lr_view[t], origin.region.y / 4, origin.region.x / 4);
            EXPECT_EQ(wrong, 0) << "sample " << n << ", frame " << t;
        }
    }
}

TEST(ClipSampler, ASampleIsAFunctionOfItsNumber) {
    const ClipSampler sampler(two_clips_and_a_photo(), small, 3);
    std::vector<std::vector<float>> alone(12);
    for (std::uint64_t n = 0; n < 12; ++n) alone[n] = Sample(sampler, n).lr;
    const ClipSampler resumed(two_clips_and_a_photo(), small, 3);
    std::array<std::vector<float>, 12> together;
    std::vector<std::thread> threads;
    for (std::size_t k = 0; k < 3; ++k)
        threads.emplace_back([&, k] {
            for (std::size_t n = 12; n-- > 0;)
                if (n % 3 == k) together[n] = Sample(resumed, n).lr;
        });
    for (auto& thread : threads) thread.join();
    for (std::size_t n = 0; n < 12; ++n) EXPECT_EQ(together[n], alone[n]) << n;
    EXPECT_NE(Sample(ClipSampler(two_clips_and_a_photo(), small, 4), 0).lr, alone[0]);
    EXPECT_NE(alone[0], alone[1]);
}

TEST(ClipSampler, EveryPlaceTimeAndSymmetryComesUp) {
    std::vector<TrainingClip> clips(1);
    clips[0].clip = test::noise_clip(4, 31, 35);
    const ClipSampler sampler(clips, small, 5);
    std::set<std::array<int, 4>> places;
    std::set<int> symmetries;
    for (std::uint64_t n = 0; n < 400; ++n) {
        const SampleOrigin origin = Sample(sampler, n).origin;
        const auto& s = origin.symmetry;
        symmetries.insert(s.flip_x + 2 * s.flip_y + 4 * s.transpose + 8 * origin.reversed);
        places.insert({origin.first_frame, origin.region.y, origin.region.x, s.transpose});
        EXPECT_TRUE(origin.region.y % 4 == 0 && origin.region.x % 4 == 0);
    }
    EXPECT_EQ(symmetries.size(), 16u);
    EXPECT_EQ(places.size(), 2u * (3 * 2 + 1 * 4)) << "2 times; 3 x 2 places as it is, 1 x 4 transposed";
}

TEST(ClipSampler, WithoutSymmetriesNothingTurns) {
    ClipSamplerConfig config = small;
    config.symmetries = config.reverse_time = false;
    const ClipSampler sampler(two_clips_and_a_photo(), config, 5);
    for (std::uint64_t n = 0; n < 50; ++n) {
        const SampleOrigin origin = Sample(sampler, n).origin;
        EXPECT_EQ(origin.symmetry, Symmetry{});
        EXPECT_FALSE(origin.reversed);
    }
}

TEST(ClipSampler, WeightsAreShares) {
    auto clips = two_clips_and_a_photo();
    clips[0].weight = 3;
    clips[1].weight = 0.5;
    clips[2].weight = 0.5;
    const ClipSampler sampler(clips, {.frames = 1, .height = 1, .width = 1}, 6);
    std::array<int, 3> count{};
    for (std::uint64_t n = 0; n < 4000; ++n) ++count[std::size_t(Sample(sampler, n).origin.clip)];
    EXPECT_NEAR(count[0], 3000, 140);  // five standard deviations
    EXPECT_NEAR(count[1], 500, 105);
    EXPECT_NEAR(count[2], 500, 105);
}

TEST(ClipSampler, PhotosMove) {
    auto clips = two_clips_and_a_photo();
    clips.erase(clips.begin(), clips.begin() + 2);
    for (const auto degradation : {Degradation::bicubic, Degradation::blur}) {
        ClipSamplerConfig config = small;
        config.degradation = degradation;
        const ClipSampler sampler(clips, config, 7);
        const Sample sample(sampler, 0), other(sampler, 1);
        const std::size_t frame = sample.lr.size() / 3;
        EXPECT_NE(std::vector(sample.lr.begin(), sample.lr.begin() + long(frame)),
                  std::vector(sample.lr.begin() + long(frame), sample.lr.begin() + 2 * long(frame)));
        EXPECT_NE(sample.lr, other.lr);
        for (int i = 0; i < 5; ++i)  // waves of 12 pixels and more: an LR pixel is nearly its block's mean
            for (int j = 0; j < 7; ++j) {
                double mean = 0;
                for (int k = 0; k < 16; ++k) mean += double(sample.hr_view(1, 4 * i + k / 4, 4 * j + k % 4, 1)) / 16;
                EXPECT_NEAR(sample.lr_view(1, i, j, 1), mean, 0.1);
            }
    }
}

std::string error_of(std::vector<TrainingClip> clips, const ClipSamplerConfig& config) {
    try {
        ClipSampler(std::move(clips), config, 0);
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

TEST(ClipSampler, Errors) {
    auto clips = two_clips_and_a_photo();
    EXPECT_THAT(error_of({}, small), HasSubstr("there is no clip"));
    EXPECT_THAT(error_of(clips, {.frames = 4, .height = 5, .width = 5}), HasSubstr("noise has 3 frames, 4 are needed"));
    EXPECT_THAT(error_of(clips, {.frames = 2, .height = 5, .width = 8}),
                HasSubstr("40 x 31 pixels, 32 x 32 are needed"));
    EXPECT_EQ(error_of(clips, {.frames = 2, .height = 5, .width = 8, .symmetries = false}), "no error");
    EXPECT_THAT(error_of({clips[2]}, {.frames = 2, .height = 17, .width = 3}),
                HasSubstr("100 x 80 pixels, 84 x 84 are needed"));
    EXPECT_EQ(error_of({clips[2]}, {.frames = 2, .height = 16, .width = 3}), "no error");
    EXPECT_THAT(error_of(clips, {.scale = 1}), HasSubstr("scale 1"));
    EXPECT_THAT(error_of(clips, {.frames = 0}), HasSubstr("0 frames"));
    for (const double weight : {0., -1., std::numeric_limits<double>::infinity()}) {
        clips[1].weight = weight;
        EXPECT_THAT(error_of(clips, small), HasSubstr("weight"));
    }
    clips[1].weight = 1;
    const ClipSampler sampler(clips, small, 0);
    const Sample sample(sampler, 0);
    EXPECT_THROW(sampler.draw(0, sample.hr_view, sample.lr_view), Error);
}

TEST(ClipSampler, TheFlowLeadsFromTheFirstFrameToTheSecond) {
    std::vector<TrainingClip> photo(1);
    photo[0] = {test::smooth_clip(90, 90), 1, true};
    const ClipSamplerConfig config{
        .scale = 2,
        .frames = 2,
        .height = 21,
        .width = 17,
        .reverse_time = true,
        .motion = {.max_speed = 12, .min_zoom = 0.3, .max_zoom = 0.6, .object_probability = 0}};
    const ClipSampler sampler(photo, config, 3);
    Cpu cpu;
    std::set<int> kinds;
    double error = 0, error_at_rest = 0, length = 0;
    int inside = 0;
    for (std::uint64_t n = 0; n < 100; ++n) {
        Tensor<float, 4> lr(2, 21, 17, 3), with_hr(2, 21, 17, 3), hr(2, 42, 34, 3);
        Tensor<float, 3> flow(21, 17, 2), warped(21, 17, 3);
        const SampleOrigin origin = sampler.draw(n, lr, {}, flow);
        kinds.insert(origin.symmetry.flip_x + 2 * origin.symmetry.flip_y + 4 * origin.symmetry.transpose +
                     8 * origin.reversed);
        sampler.draw(n, with_hr, hr);
        ASSERT_TRUE(std::equal(lr.data(), lr.data() + lr.size(), with_hr.data())) << n;
        flow_warp<float, float>(cpu, lr.view()[1], flow, Padding::border, warped.view());
        for (int i = 0; i < 21; ++i)
            for (int j = 0; j < 17; ++j) {
                const float x = float(j) + flow.view()(i, j, 0), y = float(i) + flow.view()(i, j, 1);
                length += std::hypot(x - float(j), y - float(i)) / (100 * 21 * 17);
                if (x < 0 || x > 16 || y < 0 || y > 20) continue;
                ++inside;
                error += std::abs(warped.view()(i, j, 1) - lr.view()(0, i, j, 1));
                error_at_rest += std::abs(lr.view()(1, i, j, 1) - lr.view()(0, i, j, 1));
            }
    }
    EXPECT_EQ(kinds.size(), 16u);
    EXPECT_GT(length, 1);
    EXPECT_LT(error / inside, 0.01);  // what interpolation and rounding leave
    EXPECT_GT(error_at_rest / inside, 0.05);
}

TEST(ClipSampler, FlowsThatNobodyKnowsAreErrors) {
    auto clips = two_clips_and_a_photo();
    clips.pop_back();
    const ClipSampler sampler(clips, small, 1);
    Tensor<float, 4> lr(3, 5, 7, 3);
    Tensor<float, 3> flow(5, 7, 2), turned(7, 5, 2);
    const auto draw = [&](View<float, 3> to) { return [&, to] { sampler.draw(0, lr, {}, to); }; };
    EXPECT_THAT(draw(flow), testing::ThrowsMessage<Error>(HasSubstr("the flow of noise was asked for")));
    EXPECT_THAT(draw(turned), testing::ThrowsMessage<Error>(HasSubstr("draw a flow into (7, 5, 2)")));
}

TEST(ClipSampler, APhotoThatJustFitsCanBeDrawn) {
    for (const double zoom : {0.3, 0.7, 1., 1.1, 1.7}) {
        ClipSamplerConfig config = small;
        config.motion.min_zoom = zoom;
        std::vector<TrainingClip> clips(1);
        clips[0].is_photo = true;
        for (int size = 1; !why_unfit(clips[0], config).empty(); ++size) clips[0].clip = test::smooth_clip(size, size);
        EXPECT_NEAR(clips[0].clip.height, zoom * (28 + 2 * 8), 2);
        const ClipSampler sampler(clips, config, 8);
        for (std::uint64_t n = 0; n < 4; ++n) EXPECT_NO_THROW(Sample(sampler, n)) << zoom;
    }
}

}  // namespace
}  // namespace mia
