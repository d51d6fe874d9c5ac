#include "mia/video/stream_copy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "output.hpp"

// Inputs with all that a file can hold are copied, and what ffprobe and ffmpeg say of the copy is compared.

namespace mia {
namespace {

using test::copy_video;
using test::decoding_errors;
using test::message_of;
using test::output_of;
using test::probe;
using test::quick;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Copies : public test::MediaTest {
protected:
    static VideoWriterConfig dropping() {
        VideoWriterConfig config = quick();
        config.drop_streams = true;
        return config;
    }

    /// Uneven times from `start` seconds on with B frames, two languages, subtitles, chapters, a title, a tilt.
    std::filesystem::path film(const std::string& name, const std::string& subtitles, const std::string& options = "",
                               double start = 0) const {
        write_bytes(
            "words.srt",
            "1\n00:00:00,100 --> 00:00:00,500\nGood morning.\n\n2\n00:00:01,600 --> 00:00:01,900\nGood night.\n");
        write_bytes("notes.txt",
                    ";FFMETADATA1\ntitle=A film\nartist=Somebody\n"
                    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=700\ntitle=One\n"
                    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=700\nEND=2000\ntitle=Two\n");
        const std::string offset = text("-itsoffset ", start, " ");
        const auto plain =
            make(offset + "-f lavfi -i testsrc2=size=64x48:rate=30,setsar=4/3 " + offset +
                     "-f lavfi -i sine=440:sample_rate=48000 -f lavfi -i sine=880:sample_rate=44100 -i '" +
                     (folder / "words.srt").string() + "' -i '" + (folder / "notes.txt").string() +
                     "' -map 0 -map 1 -map 2 -map 3 -map_metadata 4 -map_chapters 4 -t 2 -vf "
                     "\"select='not(mod(n,3))+not(mod(n,7))'\" -fps_mode passthrough -c:v libx264 -preset ultrafast "
                     "-bf 2 -pix_fmt yuv420p "
                     "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv -c:a aac -c:s " +
                     subtitles +
                     " -metadata:s:v:0 title=Pictures -metadata:s:a:0 language=ger -metadata:s:a:1 language=fre "
                     "-disposition:a:0 0 -disposition:a:1 default+comment " +
                     options,
                 "plain_" + name);
        return make("-i '" + plain.string() + "' -map 0:v -map 0:a -map 0:s -c copy -copyts -metadata:s:v:0 rotate=90",
                    name);
    }

    /// Time, duration, size and checksum of every packet, by stream but for the video. Times in whole milliseconds,
    /// since that is all that Matroska has; durations, which then differ from packet to packet, only `within_kind` of
    /// container.
    static std::map<std::string, std::string> packets(const std::filesystem::path& path, bool within_kind = true) {
        std::istringstream lines(probe(path,
                                       "-show_data_hash md5 -show_entries packet=stream_index,pts_time,duration_time,"
                                       "size,data_hash:packet_side_data= -of csv=p=0"));
        std::map<std::string, std::string> all;
        for (std::string line; std::getline(lines, line);) {
            std::istringstream fields(line);
            std::string stream, time, duration, rest;
            std::getline(fields, stream, ',');
            std::getline(fields, time, ',');
            std::getline(fields, duration, ',');
            std::getline(fields, rest);
            all[stream] +=
                text(std::lround(std::atof(time.c_str()) * 1000), " ", within_kind ? duration : "", " ", rest, "\n");
        }
        all.erase("0");
        return all;
    }
    static std::string frame_times(const std::filesystem::path& path) {
        return probe(path, "-select_streams v:0 -show_entries frame=pts_time:frame_side_data= -of default=nw=1");
    }
    static std::string chapters(const std::filesystem::path& path) {
        return probe(path, "-show_entries chapter=start_time,end_time:chapter_tags=title -of compact");
    }
    /// Streams, tags, colours, aspect, rotation and chapters, a line for each, in order; letters small, as Matroska's
    /// names of tags are not.
    static std::vector<std::string> properties(const std::filesystem::path& path) {
        std::string all =
            probe(path,
                  "-show_entries stream=codec_type,codec_name,sample_rate,channels,color_range,color_space,"
                  "color_transfer,color_primaries,chroma_location,sample_aspect_ratio:stream_tags=language:"
                  "stream_disposition=default,comment:stream_side_data=rotation:format=nb_programs:"
                  "format_tags=title,artist:chapter=start_time,end_time:chapter_tags=title -of default");
        for (char& c : all) c = char(std::tolower(static_cast<unsigned char>(c)));
        std::istringstream lines(all);
        std::vector<std::string> sorted;
        for (std::string line; std::getline(lines, line);)
            if (line != "tag:language=und") sorted.push_back(line);
        std::sort(sorted.begin(), sorted.end());
        return sorted;
    }

    /// What must be the same, whatever the containers are.
    static void expect_kept(const std::filesystem::path& in, const std::filesystem::path& out) {
        SCOPED_TRACE(in.filename().string() + " -> " + out.filename().string());
        EXPECT_EQ(frame_times(out), frame_times(in));
        const bool within_kind = (in.extension() == ".mkv") == (out.extension() == ".mkv");
        const auto kept = packets(out, within_kind), original = packets(in, within_kind);
        EXPECT_GE(kept.size(), 2u);
        for (const auto& [stream, content] : kept) EXPECT_EQ(content == original.at(stream), true) << stream;
        if (within_kind) {
            EXPECT_EQ(kept.size(), original.size());
        }
        EXPECT_EQ(decoding_errors(out), "");
    }
};

TEST_F(Copies, WithinOneKindOfContainer) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [from, to, words] : {std::tuple<std::string, std::string, std::string>{"a.mkv", "b.mkv", "srt"},
                                          {"c.mp4", "d.mp4", "mov_text"},
                                          {"e.mov", "f.mov", "mov_text"}}) {
        const auto in = film(from, words), out = folder / to;
        EXPECT_THAT(copy_video(in, out, quick()), IsEmpty());
        expect_kept(in, out);
        EXPECT_EQ(properties(out), properties(in)) << to;
        EXPECT_NEAR(VideoReader(out).info().seconds, VideoReader(in).info().seconds, 0.05);
    }
    EXPECT_THAT(probe(folder / "d.mp4", "-select_streams v -show_entries stream_side_data=rotation -of compact"),
                HasSubstr("90"));
}

TEST_F(Copies, FromOneContainerToAnother) {
    MIA_NEEDS_FFMPEG();
    const auto matroska = film("a.mkv", "srt"), mp4 = film("b.mp4", "mov_text");
    EXPECT_THAT(message_of([&] { copy_video(matroska, folder / "c.mp4", quick()); }),
                AllOf(HasSubstr("c.mp4: a mp4 file cannot hold:\n  stream 3, subtitle (subrip)\nUse .mkv"),
                      HasSubstr("ask for these streams to be dropped")));
    EXPECT_FALSE(std::filesystem::exists(folder / "c.mp4.partial"));
    EXPECT_THAT(copy_video(matroska, folder / "c.mp4", dropping()), ElementsAre("stream 3, subtitle (subrip)"));
    expect_kept(matroska, folder / "c.mp4");
    EXPECT_THAT(properties(folder / "c.mp4"),
                testing::IsSupersetOf({"tag:language=ger", "tag:language=fre", "disposition:comment=1", "tag:title=one",
                                       "tag:title=two", "tag:title=a film", "tag:artist=somebody", "end_time=0.700000",
                                       "sample_aspect_ratio=4:3", "color_range=tv", "chroma_location=left"}));
    EXPECT_THAT(copy_video(mp4, folder / "d.mov", quick()), IsEmpty());
    expect_kept(mp4, folder / "d.mov");
    // QuickTime knows neither that a track is a comment nor French by this code.
    EXPECT_THAT(properties(folder / "d.mov"),
                testing::IsSupersetOf({"tag:language=ger", "tag:title=one", "tag:title=a film", "color_space=bt709",
                                       "sample_aspect_ratio=4:3", "end_time=2.000000"}));
}

TEST_F(Copies, ALateStartIsKept) {
    MIA_NEEDS_FFMPEG();
    for (const auto& [from, to, words] :
         {std::tuple<std::string, std::string, std::string>{"a.mkv", "b.mkv", "srt"}, {"c.mp4", "d.mp4", "mov_text"}}) {
        const auto in = film(from, words, "", 0.5), out = folder / to;
        copy_video(in, out, quick());
        EXPECT_EQ(frame_times(out), frame_times(in));
        EXPECT_THAT(frame_times(out), HasSubstr("=0.5"));
        EXPECT_EQ(packets(out) == packets(in), true);
    }
}

TEST_F(Copies, APartHasItsOwnChapters) {
    MIA_NEEDS_FFMPEG();
    const auto in = film("a.mkv", "srt");
    VideoReaderConfig part;
    part.start = Seconds{0.5};
    part.end = Seconds{1.2};
    copy_video(in, folder / "b.mkv", quick(), part);
    const auto kept = chapters(folder / "b.mkv");
    EXPECT_THAT(kept, AllOf(HasSubstr("start_time=0.000000|end_time=0.2"), HasSubstr("|tag:title=One")));
    EXPECT_THAT(kept, HasSubstr("end_time=0.7"));
    part.start = Seconds{1.0};
    part.end.reset();
    copy_video(in, folder / "c.mkv", quick(), part);
    EXPECT_THAT(chapters(folder / "c.mkv"), AllOf(HasSubstr("title=Two"), Not(HasSubstr("title=One"))));
}

TEST_F(Copies, AttachmentsAndCovers) {
    MIA_NEEDS_FFMPEG();
    const auto plain = film("a.mkv", "srt");
    write_bytes("font.ttf", "not really a font");
    const auto cover = make("-f lavfi -i color=red:size=32x32 -frames:v 1", "cover.png");
    const auto in = make("-i '" + plain.string() + "' -map 0 -c copy -attach '" + (folder / "font.ttf").string() +
                             "' -metadata:s:t:0 mimetype=application/x-truetype-font -attach '" + cover.string() +
                             "' -metadata:s:t:1 mimetype=image/png",
                         "in.mkv");
    copy_video(in, folder / "out.mkv", quick());
    const std::string what = "-show_entries stream=codec_type,codec_name:stream_tags=filename,mimetype -of compact";
    EXPECT_EQ(probe(folder / "out.mkv", what), probe(in, what));
    for (const auto& file : {in, folder / "out.mkv"}) {
        output_of("cd '" + folder.string() + "' && ffmpeg -v error -y -dump_attachment:t:0 '" +
                  (file == in ? "was.ttf" : "is.ttf") + "' -i '" + file.string() + "' </dev/null");
        make("-i '" + file.string() + "' -map 0:v:1 -c copy -f image2", file == in ? "was.png" : "is.png");
    }
    EXPECT_EQ(bytes_of(folder / "is.ttf"), "not really a font");
    EXPECT_EQ(bytes_of(folder / "is.png"), bytes_of(cover));

    // MP4 has no attachments, and keeps the cover; so does what is made of that.
    EXPECT_THAT(copy_video(in, folder / "out.mp4", dropping()),
                ElementsAre("stream 3, subtitle (subrip)", HasSubstr("attachment")));
    copy_video(folder / "out.mp4", folder / "again.mp4", quick());
    copy_video(folder / "again.mp4", folder / "back.mkv", quick());
    for (const std::string name : {"out.mp4", "again.mp4", "back.mkv"}) {
        make("-i '" + (folder / name).string() + "' -map 0:v:1 -c copy -f image2", "it.png");
        EXPECT_EQ(bytes_of(folder / "it.png"), bytes_of(cover)) << name;
        EXPECT_EQ(probe(folder / name, "-select_streams v:1 -show_entries stream_disposition=attached_pic -of csv=p=0"),
                  "1")
            << name;
    }
}

TEST_F(Copies, TimeCodesAndDataTracks) {
    MIA_NEEDS_FFMPEG();
    const auto in = make(
        "-f lavfi -i testsrc2=size=64x48:rate=25 -t 1 -c:v libx264 -preset ultrafast -timecode 01:02:03:04", "in.mov");
    EXPECT_THAT(copy_video(in, folder / "out.mov", quick()), IsEmpty());
    const std::string what = "-show_entries stream=codec_tag_string:stream_tags=timecode -of compact";
    EXPECT_THAT(probe(folder / "out.mov", what), AllOf(HasSubstr("tmcd"), HasSubstr("timecode=01:02:03:04")));
    copy_video(in, folder / "out.mkv", quick());
    EXPECT_THAT(probe(folder / "out.mkv", "-show_entries stream_tags -of compact"), HasSubstr("01:02:03:04"));
}

TEST_F(Copies, HighDynamicRange) {
    MIA_NEEDS_FFMPEG();
    if (detail::find_encoder("hevc") == nullptr) GTEST_SKIP() << "no HEVC encoder";
    const auto in = make(
        "-f lavfi -i testsrc2=size=64x48:rate=10 -t 1 -pix_fmt yuv420p10le -c:v libx265 -color_primaries bt2020 "
        "-color_trc smpte2084 -colorspace bt2020nc -x265-params "
        "log-level=none:master-display='G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)':"
        "max-cll=1000,400",
        "in.mp4");
    for (const std::string name : {"out.mp4", "out.mkv", "out.mov"}) {
        copy_video(in, folder / name, {.preset = "ultrafast"});
        const std::string what =
            "-select_streams v -show_entries stream=codec_name,pix_fmt,color_transfer,color_primaries,color_space -of "
            "csv=p=0";
        EXPECT_EQ(probe(folder / name, what), "hevc,yuv420p10le,bt2020nc,smpte2084,bt2020") << name;
        // In the stream, where every decoder finds it.
        const std::string frames =
            "-select_streams v -read_intervals %+#1 -show_entries frame_side_data=red_x,white_point_y,min_luminance,"
            "max_luminance,max_content,max_average -of compact";
        EXPECT_EQ(probe(folder / name, frames), probe(in, frames)) << name;
        EXPECT_THAT(probe(folder / name, frames), AllOf(HasSubstr("1000"), HasSubstr("400"), HasSubstr("34000/50000")));
    }
    // And in the container, for codecs that have no place for it.
    copy_video(in, folder / "vp9.mkv", {.codec = "vp9", .preset = "8"});
    EXPECT_THAT(probe(folder / "vp9.mkv",
                      "-select_streams v -show_entries stream_side_data=max_content,max_luminance,red_x -of compact"),
                AllOf(HasSubstr("max_content=1000"), HasSubstr("max_luminance="), HasSubstr("red_x=")));
}

}  // namespace
}  // namespace mia
