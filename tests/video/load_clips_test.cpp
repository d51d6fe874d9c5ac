#include "mia/train/data/load_clips.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "reading.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr ClipSamplerConfig needs{.frames = 4, .height = 6, .width = 8};

class LoadClips : public test::MediaTest {
protected:
    DataSet set(const std::string& lines) const { return read_data_set(write_bytes("set.txt", lines)); }

    static std::string error_of(const DataSet& set, std::int64_t max_bytes = 1 << 24) {
        return test::message_of([&] { load_clips(set, needs, max_bytes); });
    }
};

const std::string moving_picture = "-f lavfi -i testsrc2=size=64x48:rate=10 ";

TEST_F(LoadClips, EveryKind) {
    MIA_NEEDS_FFMPEG();
    std::filesystem::create_directory(folder / "frames");
    std::filesystem::create_directory(folder / "photos");
    const auto video = make(moving_picture + "-frames:v 5 -c:v ffv1 -pix_fmt gbrp", "a.mkv");
    make(moving_picture + "-frames:v 4", "frames/%02d.png");
    make(moving_picture + "-frames:v 3", "photos/%d.png");
    make(moving_picture + "-frames:v 1", "one.png");
    const LoadedClips loaded =
        load_clips(set("a.mkv video 1 CC0\nframes images 2 CC0\nphotos photo 6 CC0\none.png photo 0.5 CC0"), needs);
    ASSERT_EQ(loaded.clips.size(), 6u);
    EXPECT_EQ(loaded.skipped_text(), "");
    EXPECT_EQ(loaded.clips[0].clip.frames, 5);
    EXPECT_EQ(loaded.clips[0].clip.name, video.string());
    EXPECT_EQ(loaded.clips[1].clip.frames, 4);
    EXPECT_FALSE(loaded.clips[1].is_photo);
    EXPECT_EQ(loaded.clips[1].weight, 2);
    for (std::size_t i = 2; i < 5; ++i) {
        EXPECT_EQ(loaded.clips[i].weight, 2) << "a third of the folder's";
        EXPECT_TRUE(loaded.clips[i].is_photo);
    }
    EXPECT_EQ(loaded.clips[5].weight, 0.5);

    const auto raw = bytes_of(make("-i '" + video.string() + "' -f rawvideo -pix_fmt rgb24", "raw.rgb"));
    const auto& pixels = loaded.clips[0].clip.pixels;
    EXPECT_EQ(std::string(pixels.begin(), pixels.end()), raw);
    EXPECT_NO_THROW(ClipSampler(loaded.clips, needs, 0)) << "what was loaded fits";
}

TEST_F(LoadClips, BadOnesAreNamedAndCounted) {
    MIA_NEEDS_FFMPEG();
    std::filesystem::create_directory(folder / "mixed");
    std::filesystem::create_directory(folder / "empty");
    make(moving_picture + "-frames:v 5 -c:v ffv1", "good.mkv");
    make(moving_picture + "-frames:v 3 -c:v ffv1", "short.mkv");
    make("-f lavfi -i testsrc2=size=32x28 -frames:v 5 -c:v ffv1", "small.mkv");
    make(moving_picture + "-frames:v 1", "mixed/good.png");
    make("-f lavfi -i testsrc2=size=16x16 -frames:v 1", "mixed/tiny.png");
    write_bytes("broken.mkv", "no video");
    const DataSet all =
        set("gone.mkv video 1 CC0\nbroken.mkv video 1 CC0\nshort.mkv video 1 CC0\nsmall.mkv video 1 CC0\n"
            "good.mkv video 1 CC0\nmixed photo 3 CC0\nempty photo 1 CC0\ngood.mkv images 1 CC0\nmixed video 1 CC0");
    const LoadedClips loaded = load_clips(all, needs);
    ASSERT_EQ(loaded.clips.size(), 2u);
    EXPECT_EQ(loaded.clips[0].clip.name, (folder / "good.mkv").string());
    EXPECT_EQ(loaded.clips[1].weight, 3) << "all of the folder's";
    const std::string report = loaded.skipped_text(), at = (folder / "set.txt").string() + ", line ";
    EXPECT_THAT(report, HasSubstr("8 of 10 clips were skipped"));
    EXPECT_THAT(report, HasSubstr("gone.mkv (" + at + "1): no such file"));
    EXPECT_THAT(report, HasSubstr("broken.mkv (" + at + "2): "));
    EXPECT_THAT(report, HasSubstr("short.mkv (" + at + "3): 3 frames, 4 are needed"));
    EXPECT_THAT(report, HasSubstr("small.mkv (" + at + "4): 32 x 28 pixels, 32 x 32 are needed"));
    EXPECT_THAT(report, HasSubstr("tiny.png (" + at + "6): 16 x 16 pixels, 48 x 48 are needed"));
    EXPECT_THAT(report, HasSubstr("empty (" + at + "7): the folder holds no image"));
    EXPECT_THAT(report, HasSubstr("good.mkv (" + at + "8): this is a video"));
    EXPECT_THAT(report, HasSubstr("mixed (" + at + "9): these are images"));
}

TEST_F(LoadClips, NothingLeftAndNoMemory) {
    MIA_NEEDS_FFMPEG();
    make(moving_picture + "-frames:v 5 -c:v ffv1", "good.mkv");
    EXPECT_THAT(error_of(set("gone.mkv video 1 CC0\n- video 1 CC0")),
                AllOf(HasSubstr("no clip is left"), HasSubstr("2 of 2 clips were skipped"), HasSubstr("gone.mkv")));
    EXPECT_THAT(error_of(DataSet{"set.txt", {{"-", DataKind::video, 1, "CC0", 1}}}), HasSubstr("standard input"));
    EXPECT_THROW(load_clips(set("good.mkv video 1 CC0"), {.frames = 0}), Error);
    const DataSet one = set("good.mkv video 1 CC0");
    EXPECT_EQ(error_of(one, 64 * 48 * 3 * 5), "no error");
    EXPECT_THAT(error_of(one, 64 * 48 * 3 * 5 - 1), HasSubstr("good.mkv did not fit"));
}

}  // namespace
}  // namespace mia
