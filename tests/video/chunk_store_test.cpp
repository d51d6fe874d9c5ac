#include "mia/video/chunk_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "media.hpp"

namespace mia::detail {
namespace {

using test::message_of;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class Store : public test::MediaTest {
protected:
    std::map<std::string, std::string> identity = {{"crf", "16"}, {"input", "a"}};

    ChunkStore open(Unfinished unfinished = Unfinished::refuse, bool repeatable = true) const {
        return ChunkStore(folder / "out", identity, unfinished, repeatable);
    }
    static void add(ChunkStore& store, std::int64_t frames, const std::string& content) {
        DurableFile file(store.chunk_path(store.manifest().chunks.size()));
        file.write(content);
        store.add({.frames = frames, .packets = 2, .file = file.commit()});
    }
    /// An unfinished run of three chunks, 5 + 5 + 2 frames.
    void leave_three() const {
        ChunkStore store = open();
        add(store, 5, "one");
        add(store, 5, "two");
        add(store, 2, "three");
    }
    std::filesystem::path inside(const std::string& name) const { return folder / "out.partial" / name; }
};

TEST_F(Store, NothingStaysWithoutAChunk) {
    {
        const ChunkStore store = open();
        EXPECT_FALSE(store.resumable());
        EXPECT_THAT(names("out.partial"), ElementsAre("lock", "manifest.json"));
    }
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Store, AnUnfinishedRunIsRefusedResumedOrRestarted) {
    leave_three();
    EXPECT_THAT(message_of([&] { open(); }),
                AllOf(StartsWith((folder / "out").string()),
                      HasSubstr("an earlier run left this output unfinished, 12 frames are done"),
                      HasSubstr("Go on with resume, or begin anew with restart.")));
    {
        const ChunkStore store = open(Unfinished::resume);
        EXPECT_TRUE(store.resumable());
        EXPECT_EQ(store.manifest().frames(), 12);
        EXPECT_EQ(store.manifest().packets(), 6);
        EXPECT_EQ(store.note(), "");
    }
    {
        const ChunkStore store = open(Unfinished::restart);
        EXPECT_EQ(store.manifest().frames(), 0);
        EXPECT_THAT(names("out.partial"), ElementsAre("lock", "manifest.json"));
    }
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Store, NothingToLoseIsNoUnfinishedRun) {
    open();
    std::filesystem::create_directory(folder / "out.partial");  // killed before the first chunk, or even the manifest
    write_bytes("out.partial/chunk_000000.packets.new", "half");
    write_bytes("out.partial/lock", "");
    EXPECT_EQ(open().manifest().frames(), 0);
    EXPECT_EQ(open(Unfinished::resume).manifest().frames(), 0);
    EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Store, AnotherRunIsRefusedWithTheDifference) {
    leave_three();
    identity = {{"crf", "18"}, {"input", "a"}, {"model", "large"}};
    EXPECT_THAT(message_of([&] { open(Unfinished::resume); }),
                HasSubstr("the unfinished run cannot be resumed, it was another one:\n  crf: was 16, is 18\n"
                          "  model: was not there, is large\nRepeat it with the same input and options"));
    identity = {{"crf", "16"}, {"input", "a"}};
    EXPECT_EQ(open(Unfinished::resume).manifest().frames(), 12);  // and nothing was lost by asking
}

TEST_F(Store, DamagedChunksAreMadeAgain) {
    leave_three();
    const std::string chunk = inside("chunk_000001.packets").string();
    for (const std::string content : {"twO", "two and more", ""}) {
        {
            ChunkStore store = open(Unfinished::restart);
            add(store, 5, "one");
            add(store, 5, "two");
            add(store, 2, "three");
        }
        write_bytes("out.partial/chunk_000001.packets", content);
        const ChunkStore store = open(Unfinished::resume);
        EXPECT_EQ(store.manifest().frames(), 5) << content;
        EXPECT_THAT(store.note(), HasSubstr("chunk 1 of the earlier run is damaged (chunk_000001.packets is not what "
                                            "was written); 5 of its 12 frames are kept"));
        EXPECT_THAT(names("out.partial"), ElementsAre("chunk_000000.packets", "lock", "manifest.json"));
    }
    std::filesystem::remove(inside("chunk_000000.packets"));
    EXPECT_EQ(open(Unfinished::resume).manifest().frames(), 0);
}

TEST_F(Store, WhatIsNotListedIsDeleted) {
    leave_three();
    for (const char* name : {"chunk_000003.packets", "chunk_000003.packets.new", "manifest.json.new", "output.mp4"})
        write_bytes(std::string("out.partial/") + name, "x");
    const ChunkStore store = open(Unfinished::resume);
    EXPECT_THAT(names("out.partial"), ElementsAre("chunk_000000.packets", "chunk_000001.packets",
                                                  "chunk_000002.packets", "lock", "manifest.json"));
}

TEST_F(Store, DamagedManifest) {
    leave_three();
    write_bytes("out.partial/manifest.json", "{\"format\": \"mia");
    for (const auto unfinished : {Unfinished::refuse, Unfinished::resume})
        EXPECT_THAT(message_of([&] { open(unfinished); }),
                    AllOf(HasSubstr("its list of what is done is damaged"), HasSubstr("a string has no closing quote"),
                          HasSubstr("Begin anew with restart.")));
    EXPECT_TRUE(std::filesystem::exists(inside("chunk_000000.packets")));
    EXPECT_EQ(open(Unfinished::restart).manifest().frames(), 0);
}

TEST_F(Store, OneRunAtATime) {
    const ChunkStore store = open();
    for (const auto unfinished : {Unfinished::refuse, Unfinished::resume, Unfinished::restart})
        EXPECT_THAT(message_of([&] { open(unfinished); }), HasSubstr("another run is writing this output"));
    EXPECT_TRUE(std::filesystem::exists(inside("manifest.json")));
}

TEST_F(Store, AFolderOfSomebodyElseIsNotTouched) {
    std::filesystem::create_directory(folder / "out.partial");
    write_bytes("out.partial/thesis.tex", "years");
    for (const auto unfinished : {Unfinished::refuse, Unfinished::resume, Unfinished::restart})
        EXPECT_THAT(message_of([&] { open(unfinished); }), HasSubstr("which holds something else: thesis.tex"));
    EXPECT_THAT(names("out.partial"), ElementsAre("thesis.tex"));
    std::filesystem::remove_all(folder / "out.partial");
    write_bytes("out.partial", "a file");
    EXPECT_THAT(message_of([&] { open(Unfinished::restart); }), HasSubstr("but a file has that name"));
}

TEST_F(Store, PublishedWithoutATrace) {
    for (const bool resumed : {false, true}) {
        if (resumed) leave_three();
        ChunkStore store = open(Unfinished::resume);
        if (!resumed) add(store, 1, "one");
        write_bytes("out.partial/output.mp4", "whole");
        store.publish(inside("output.mp4"));
        EXPECT_FALSE(store.resumable());
        EXPECT_THAT(names(), ElementsAre("out"));
        EXPECT_EQ(bytes_of(folder / "out"), "whole");
    }
}

TEST_F(Store, InterruptedAfterPublishing) {
    leave_three();
    Manifest manifest = read_manifest(bytes_of(inside("manifest.json")), "m");
    manifest.assembled = true;
    write_bytes("out.partial/manifest.json", to_json(manifest));
    write_bytes("out", "whole");
    EXPECT_EQ(open().manifest().frames(), 0);  // nothing is unfinished
    EXPECT_THAT(names(), ElementsAre("out"));
    // With the output still in the folder it was interrupted a moment earlier.
    leave_three();
    write_bytes("out.partial/manifest.json", to_json(manifest));
    write_bytes("out.partial/output.mp4", "whole");
    EXPECT_EQ(open(Unfinished::resume).manifest().frames(), 12);
}

TEST_F(Store, FromAPipeNothingIsKept) {
    {
        ChunkStore store = open(Unfinished::refuse, false);
        add(store, 5, "one");
        EXPECT_FALSE(store.resumable());
    }
    EXPECT_THAT(names(), IsEmpty());
    leave_three();
    EXPECT_THAT(message_of([&] { open(Unfinished::resume, false); }), HasSubstr("what comes through a pipe cannot"));
}

TEST_F(Store, AVanishedFolderIsAnError) {
    ChunkStore store = open();
    add(store, 5, "one");
    std::filesystem::remove_all(folder / "out.partial");
    EXPECT_THAT(message_of([&] { add(store, 5, "two"); }),
                HasSubstr("cannot be written (No such file or directory). Check that its folder exists"));
}

}  // namespace
}  // namespace mia::detail
