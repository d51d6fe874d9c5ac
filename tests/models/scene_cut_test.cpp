#include "mia/models/scene_cut.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mia {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A grey frame with a bright square whose left edge is at `left`.
std::vector<float> picture(int height, int width, float grey, int left) {
    std::vector<float> frame(std::size_t(height * width * 3), grey);
    for (int y = height / 4; y < height / 2; ++y)
        for (int x = left; x < left + width / 4; ++x)
            for (int c = 0; c < 3; ++c) frame[std::size_t((y * width + (x % width)) * 3 + c)] = 0.9f;
    return frame;
}
double score(SceneDetector& detector, const std::vector<float>& frame, int height, int width) {
    return detector.score({frame.data(), {height, width, 3}});
}

TEST(SceneDetector, TheChangeOfAnEvenPictureIsItsScore) {
    for (const auto& [height, width] : {std::pair{1, 1}, {3, 5}, {36, 64}, {37, 65}, {90, 160}}) {
        SceneDetector detector;
        const std::vector<float> dark(std::size_t(height * width * 3), 0.2f), light(dark.size(), 0.7f);
        EXPECT_EQ(score(detector, dark, height, width), 0);
        EXPECT_NEAR(score(detector, light, height, width), 0.5, 1e-6);
        EXPECT_EQ(score(detector, light, height, width), 0);
    }
}

TEST(SceneDetector, WeighsColoursByTheirLuma) {
    SceneDetector detector;
    (void)score(detector, {0, 0, 0}, 1, 1);
    EXPECT_NEAR(score(detector, {0, 1, 0}, 1, 1), 0.7152, 1e-6);
}

TEST(SceneDetector, AFlashAndFastMotionAreOneCutAtMost) {
    SceneDetector detector;
    const double limit = SceneConfig().threshold;
    std::vector<double> scores;
    for (const float grey : {0.2f, 0.2f, 0.95f, 0.2f, 0.2f})
        scores.push_back(score(detector, picture(36, 64, grey, 3), 36, 64));
    EXPECT_GT(scores[2], limit);
    EXPECT_LT(scores[3], limit);  // as much change as before: no new scene
    EXPECT_LT(scores[4], limit);
    SceneDetector moving;
    for (int t = 0; t < 8; ++t) EXPECT_LT(score(moving, picture(90, 160, 0.3f, 8 * t), 90, 160), limit) << t;
}

TEST(SceneDetector, AFadeIsNoCut) {
    SceneDetector detector;
    for (int t = 0; t <= 10; ++t)
        EXPECT_LT(score(detector, picture(36, 64, 0.05f * float(t), 3), 36, 64), SceneConfig().threshold);
}

TEST(ParseCuts, NumbersWithCommentsAndEmptyLines) {
    EXPECT_THAT(parse_cuts("12\n\n# the end\n  90  # night\r\n100", "cuts.txt"), ElementsAre(12, 90, 100));
    EXPECT_TRUE(parse_cuts("", "cuts.txt").empty());
}

TEST(ParseCuts, SaysWhichLineIsWrong) {
    for (const char* content : {"5\nseven\n", "5\n5\n", "5\n4\n", "5\n-1\n", "5\n6 7\n"}) {
        try {
            (void)parse_cuts(content, "cuts.txt");
            ADD_FAILURE() << content;
        } catch (const Error& error) {
            EXPECT_THAT(error.what(), HasSubstr("cuts.txt, line 2: \"")) << content;
        }
    }
    EXPECT_THROW((void)parse_cuts("0", "cuts.txt"), Error);  // the first frame begins a scene anyway
}

}  // namespace
}  // namespace mia
