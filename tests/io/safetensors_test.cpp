#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <mia/io/safetensors.hpp>
#include <string>
#include <vector>

#if !defined(_WIN32)
#include <sys/resource.h>

#include <csignal>
#endif

#include "check_io.hpp"
#include "temporary_folder.hpp"
#include "zip_builder.hpp"

namespace mia {
namespace {

using ::testing::AllOf;
using testing::append_le;
using testing::as_bytes;
using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TemporaryFolder;

std::string file_of(std::string_view header, std::string_view data = "") {
    std::string file;
    append_le<std::uint64_t>(file, header.size());
    return file + std::string(header) + std::string(data);
}

std::string safetensors_error(std::string_view file) {
    return error_of([&] { parse_safetensors(as_bytes(file), "file"); });
}
std::string header_error(std::string_view header, std::string_view data = "") {
    return safetensors_error(file_of(header, data));
}
/// The error of a header with the single tensor 'a' and `bytes` bytes of data.
std::string tensor_error(const std::string& fields, std::size_t bytes = 0) {
    return header_error("{\"a\":{" + fields + "}}", std::string(bytes, '\0'));
}

TEST(Safetensors, reads_every_type) {
    const std::string header = R"({"__metadata__":{"scale":"4"},
        "f":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "d":{"shape":[],"dtype":"F64","data_offsets":[8,16]},
        "h":{"dtype":"F16","shape":[1],"data_offsets":[16,18]},
        "b":{"dtype":"BF16","shape":[1,1],"data_offsets":[18,20]},
        "l":{"data_offsets":[20,28],"dtype":"I64","shape":[1]}, "i":{"dtype":"I32","shape":[1],"data_offsets":[28,32]},
        "s":{"dtype":"I16","shape":[3],"data_offsets":[32,38]}, "c":{"dtype":"I8","shape":[1],"data_offsets":[38,39]},
        "u":{"dtype":"U8","shape":[1],"data_offsets":[39,40]}, "t":{"dtype":"BOOL","shape":[1],"data_offsets":[40,41]},
        "none":{"dtype":"F32","shape":[5,0],"data_offsets":[8,8]}}   )";
    std::string data;
    for (char i = 0; i < 41; ++i) data += i;
    const std::string file = file_of(header, data);
    const StateDict dict = parse_safetensors(as_bytes(file), "file");
    ASSERT_EQ(dict.entries().size(), 11u);
    EXPECT_EQ(dict.metadata(), (std::map<std::string, std::string>{{"scale", "4"}}));
    const std::pair<const char*, DType> types[] = {
        {"f", DType::float32}, {"d", DType::float64}, {"h", DType::float16},   {"b", DType::bfloat16},
        {"l", DType::int64},   {"i", DType::int32},   {"s", DType::int16},     {"c", DType::int8},
        {"u", DType::uint8},   {"t", DType::boolean}, {"none", DType::float32}};
    for (const auto& [name, dtype] : types) {
        ASSERT_NE(dict.find(name), nullptr) << name;
        EXPECT_EQ(dict.find(name)->dtype, dtype) << name;
    }
    EXPECT_EQ(dict.find("s")->shape, (std::vector<std::int64_t>{3}));
    EXPECT_EQ(dict.find("s")->bytes, 6u);
    EXPECT_EQ(dict.find("s")->data[0], std::byte(32));
    EXPECT_TRUE(dict.find("d")->shape.empty());
    EXPECT_EQ(dict.find("none")->bytes, 0u);
    // Bytes that the caller keeps are looked at where they are.
    EXPECT_EQ(reinterpret_cast<const char*>(dict.find("f")->data), file.data() + 8 + header.size());
}

TEST(Safetensors, owns_bytes_that_are_moved_in) {
    const std::string file = file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
    const auto bytes = as_bytes(file);
    StateDict kept;
    {
        const StateDict dict = parse_safetensors(std::vector<std::byte>(bytes.begin(), bytes.end()), "memory");
        kept = dict;
    }
    EXPECT_EQ(kept.find("a")->data[0], std::byte('x'));
    EXPECT_EQ(kept.source(), "memory");
}

TEST(Safetensors, reads_every_golden_tensor) {
    int files = 0;
    for (const auto& file : std::filesystem::directory_iterator(MIA_TEST_GOLDENS)) {
        if (file.path().extension() != ".safetensors") continue;
        ++files;
        const StateDict dict = read_safetensors(file.path());
        EXPECT_FALSE(dict.entries().empty()) << file.path();
        EXPECT_FALSE(dict.metadata().empty()) << file.path();
        for (const TensorEntry& entry : dict.entries()) {
            if (entry.dtype == DType::uint8) continue;  // a picture
            if (entry.name == "u8.x") continue;         // one with infinities in it, on purpose
            std::vector<float> values(entry.size());
            EXPECT_NO_THROW(copy_as_float(entry, values.data(), dict.source()));
        }
    }
    EXPECT_GE(files, 29);
}

TEST(Safetensors, an_empty_header_is_an_empty_dict) {
    const std::string file = file_of("{}");
    EXPECT_TRUE(parse_safetensors(as_bytes(file), "file").entries().empty());
}

TEST(Safetensors, refuses_false_lengths) {
    EXPECT_THAT(safetensors_error(""), HasSubstr("0 bytes are too few"));
    EXPECT_THAT(safetensors_error("1234567"), HasSubstr("7 bytes are too few"));
    std::string file;
    append_le<std::uint64_t>(file, 3);
    EXPECT_THAT(safetensors_error(file + "{}"), HasSubstr("claims 3 bytes, and the file has 2"));
    for (std::uint64_t huge : {std::uint64_t(100'000'001), std::uint64_t(1) << 60, UINT64_MAX}) {
        file.clear();
        append_le(file, huge);
        EXPECT_THAT(safetensors_error(file + "{}"), HasSubstr("above the format's limit of 100000000")) << huge;
    }
}

TEST(Safetensors, refuses_damaged_headers) {
    EXPECT_THAT(header_error(""), HasSubstr("must start with '{', found nothing"));
    EXPECT_THAT(header_error(" {}"), HasSubstr("must start with '{'"));
    EXPECT_THAT(header_error("[]"), HasSubstr("must start with '{'"));
    EXPECT_THAT(header_error("{"), HasSubstr("expected a string"));
    EXPECT_THAT(header_error("{}x"), HasSubstr("byte 10: expected the end, found 'x'"));
    EXPECT_THAT(header_error("{\"a\xFF\":1}"), HasSubstr("UTF-8"));
    EXPECT_THAT(header_error("{\"a\":1}"), HasSubstr("expected an object, found '1'"));
    EXPECT_THAT(header_error("{\"a\":null}"), HasSubstr("expected an object, found 'n'"));
    std::string deep = "{\"a\":";
    for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
    EXPECT_THAT(header_error(deep), HasSubstr("unknown field 'a'"));
    EXPECT_THAT(header_error("{\"a\":{\"shape\":" + std::string(100000, '[')), HasSubstr("non-negative integer"));
    EXPECT_THAT(header_error("{\"__metadata__\":{\"a\":{}}}"), HasSubstr("expected a string, found '{'"));
}

TEST(Safetensors, refuses_what_occurs_twice) {
    const std::string a = R"("a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
    EXPECT_EQ(header_error("{" + a + "}"), "");
    EXPECT_THAT(header_error("{" + a + "," + a + "}"), HasSubstr("the tensor 'a' occurs twice"));
    EXPECT_THAT(header_error(R"({"__metadata__":{},"__metadata__":{}})"), HasSubstr("__metadata__ occurs twice"));
    EXPECT_THAT(header_error(R"({"__metadata__":{"k":"1","k":"2"}})"), HasSubstr("states 'k' twice"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","dtype":"F32","shape":[0],"data_offsets":[0,0])"),
                HasSubstr("dtype twice"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0],"shape":[0],"data_offsets":[0,0])"),
                HasSubstr("shape twice"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0],"data_offsets":[0,0],"data_offsets":[0,0])"),
                HasSubstr("data_offsets twice"));
}

TEST(Safetensors, refuses_incomplete_and_unknown_fields) {
    EXPECT_THAT(tensor_error(R"("shape":[0],"data_offsets":[0,0])"), HasSubstr("tensor 'a' lacks dtype"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","data_offsets":[0,0])"), HasSubstr("lacks shape"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0])"), HasSubstr("lacks data_offsets"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1)"),
                HasSubstr("unknown field 'x'"));
    EXPECT_THAT(tensor_error(R"("dtype":"F8_E4M3","shape":[0],"data_offsets":[0,0])"),
                AllOf(HasSubstr("tensor 'a' has dtype 'F8_E4M3'"), HasSubstr("BF16")));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0],"data_offsets":[0])"), HasSubstr("are not two numbers"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[0],"data_offsets":[0,0,0])"), HasSubstr("are not two numbers"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[-1],"data_offsets":[0,0])"), HasSubstr("found '-'"));
}

TEST(Safetensors, refuses_offsets_that_do_not_fit) {
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])", 7), HasSubstr("beyond the file's 7"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])", 8),
                HasSubstr("ends before it begins"));
    EXPECT_THAT(tensor_error(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])", 4),
                HasSubstr("needs 8 bytes and has 4"));
    EXPECT_THAT(tensor_error(R"("dtype":"F16","shape":[2],"data_offsets":[0,8])", 8),
                HasSubstr("needs 4 bytes and has 8"));
    EXPECT_THAT(tensor_error(R"("dtype":"U8","shape":[],"data_offsets":[0,0])"), HasSubstr("needs 1 bytes and has 0"));
    EXPECT_THAT(tensor_error(R"("dtype":"U8","shape":[2],"data_offsets":[0,2])", 3), HasSubstr("1 more bytes follow"));
    EXPECT_THAT(header_error("{}", "x"), HasSubstr("1 more bytes follow"));
    EXPECT_THAT(tensor_error(R"("dtype":"U8","shape":[2],"data_offsets":[1,3])", 3), HasSubstr("hole: bytes 0 to 1"));
    const auto two = [](int begin, int end, std::size_t bytes) {
        return header_error(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[)" +
                                std::to_string(end - begin) + "],\"data_offsets\":[" + std::to_string(begin) + "," +
                                std::to_string(end) + "]}}",
                            std::string(bytes, 'x'));
    };
    EXPECT_EQ(two(4, 8, 8), "");
    EXPECT_THAT(two(3, 8, 8), HasSubstr("tensor 'b' (uint8 (5), data_offsets 3 to 8) overlaps"));
    EXPECT_THAT(two(0, 4, 4), HasSubstr("overlaps"));
    EXPECT_THAT(two(1, 3, 4), HasSubstr("overlaps"));
    EXPECT_THAT(two(2, 2, 4), HasSubstr("overlaps"));
    EXPECT_THAT(two(5, 8, 8), HasSubstr("hole: bytes 4 to 5"));
}

TEST(Safetensors, refuses_sizes_that_wrap_around) {
    const auto shape = [](const std::string& extents) {
        return tensor_error(R"("dtype":"F32","data_offsets":[0,0],"shape":[)" + extents + "]");
    };
    EXPECT_EQ(shape("0"), "");
    EXPECT_THAT(shape("4611686018427387904"), HasSubstr("more elements than any file can hold"));  // 2^62 * 4 = 2^64
    EXPECT_THAT(shape("4294967296,4294967296"), HasSubstr("more elements than any file can hold"));
    EXPECT_THAT(shape("0,4294967296,4294967296"), HasSubstr("more elements than any file can hold"));
    EXPECT_THAT(shape("9223372036854775808"), HasSubstr("more than 2^63 - 1"));
    EXPECT_THAT(shape("18446744073709551616"), HasSubstr("exceeds 2^64 - 1"));
    EXPECT_THAT(shape("1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"), HasSubstr("more than 16 axes"));
    EXPECT_THAT(
        tensor_error(R"("dtype":"U8","shape":[8],"data_offsets":[18446744073709551608,18446744073709551615])", 8),
        HasSubstr("beyond the file's 8"));
}

const std::vector<float> values{1.5f, -0.0f, 3e38f, std::numeric_limits<float>::denorm_min(), 5, 6};

TEST(WriteSafetensors, round_trips) {
    const TemporaryFolder folder;
    const std::vector<TensorToWrite> tensors{{"b.weight", {2, 3}, values.data()},
                                             {"a \"quoted\"\n\xE5\xB9\x85", {}, values.data() + 4},
                                             {"empty", {0, 4}, nullptr}};
    const std::map<std::string, std::string> metadata{{"licence", "none \\ \x01"}, {"scale", "4"}};
    write_safetensors(folder / "w.safetensors", tensors, metadata);
    const StateDict dict = read_safetensors(folder / "w.safetensors");
    EXPECT_EQ(dict.metadata(), metadata);
    ASSERT_EQ(dict.entries().size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(dict.entries()[i].name, tensors[i].name);
        EXPECT_EQ(dict.entries()[i].shape, tensors[i].shape);
        EXPECT_EQ(dict.entries()[i].dtype, DType::float32);
    }
    EXPECT_EQ(std::memcmp(dict.entries()[0].data, values.data(), 24), 0);
    EXPECT_EQ(std::memcmp(dict.entries()[1].data, &values[4], 4), 0);
    // The official reader wants the header's length in eights; the data start at a cache line of the file.
    const std::string file = testing::file_content(folder / "w.safetensors");
    EXPECT_EQ((8 + detail::load_le<std::uint64_t>(as_bytes(file).data())) % 64, 0u);
    EXPECT_THAT(folder.files(), ElementsAre("w.safetensors"));
}

TEST(WriteSafetensors, writes_nothing_at_all_as_an_empty_file) {
    const TemporaryFolder folder;
    write_safetensors(folder / "w", {});
    EXPECT_TRUE(read_safetensors(folder / "w").entries().empty());
}

TEST(WriteSafetensors, replaces_a_file_and_follows_a_link) {
    const TemporaryFolder folder;
    const auto path = folder.write("old.safetensors", "what was there before");
    std::filesystem::create_symlink("old.safetensors", folder / "link");
    const std::vector<TensorToWrite> tensors{{"a", {2}, values.data()}};
    write_safetensors(folder / "link", tensors);
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
    EXPECT_EQ(read_safetensors(path).entries().size(), 1u);
    EXPECT_EQ(folder.files().size(), 2u);
}

/// Whatever is refused must leave the old file and nothing beside it.
std::string write_error(const std::vector<TensorToWrite>& tensors,
                        const std::map<std::string, std::string>& metadata = {}) {
    const TemporaryFolder folder;
    const auto path = folder.write("w", "old");
    const std::string message = error_of([&] { write_safetensors(path, tensors, metadata); });
    EXPECT_EQ(testing::file_content(path), "old");
    EXPECT_THAT(folder.files(), ElementsAre("w"));
    return message;
}

TEST(WriteSafetensors, refuses_what_could_not_be_read) {
    EXPECT_THAT(write_error({{"a", {2}, values.data()}, {"a", {2}, values.data()}}), HasSubstr("'a' is given twice"));
    EXPECT_THAT(write_error({{"__metadata__", {2}, values.data()}}), HasSubstr("cannot be called"));
    EXPECT_THAT(write_error({{"a\xFF", {2}, values.data()}}), HasSubstr("is not UTF-8"));
    EXPECT_THAT(write_error({}, {{"k\xFF", "v"}}), HasSubstr("metadata key 'k\\xff' is not UTF-8"));
    EXPECT_THAT(write_error({}, {{"k", "\xC0\x80"}}), HasSubstr("metadata value"));
    EXPECT_THAT(write_error({{"a", {-2}, values.data()}}), HasSubstr("the shape (-2)"));
    const std::int64_t large = std::int64_t(1) << 32;
    EXPECT_THAT(write_error({{"a", {large, large}, values.data()}}), HasSubstr("too large for any file"));
    EXPECT_THAT(write_error({{"a", {large << 29, 4}, values.data()}}), HasSubstr("too large for any file"));
    EXPECT_THAT(write_error({{"a", std::vector<std::int64_t>(17, 1), values.data()}}), HasSubstr("has 17 axes"));
    EXPECT_THAT(write_error({{"a", {2}, nullptr}}), HasSubstr("null pointer"));
    const float diverged[] = {1, std::numeric_limits<float>::quiet_NaN()};
    EXPECT_THAT(write_error({{"a", {2}, diverged}}), HasSubstr("'a' (2) holds nan at element 1"));
}

TEST(WriteSafetensors, refuses_places_that_cannot_be_written) {
    const TemporaryFolder folder;
    const std::vector<TensorToWrite> tensors{{"a", {2}, values.data()}};
    EXPECT_THAT(error_of([&] { write_safetensors(folder / "missing" / "w", tensors); }),
                AllOf(HasSubstr("cannot be created"), HasSubstr("No such file")));
    EXPECT_THAT(error_of([&] { write_safetensors(folder / "", tensors); }), HasSubstr("a directory or a device"));
#if !defined(_WIN32)
    EXPECT_THAT(error_of([&] { write_safetensors("/dev/full", tensors); }), HasSubstr("a directory or a device"));
#endif
    EXPECT_TRUE(folder.files().empty());
}

#if !defined(_WIN32)
/// A limit on the size of files stands for a full disk: writing fails halfway.
TEST(WriteSafetensors, a_full_disk_leaves_the_old_file_alone) {
    const TemporaryFolder folder;
    const auto path = folder.write("w", "old");
    const std::vector<float> many(1 << 16, 1.0f);
    const std::vector<TensorToWrite> tensors{{"a", {1 << 16}, many.data()}};
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    // Large enough for one buffer (fails in the second write), or too small for any (fails when flushed).
    for (rlim_t limit : {rlim_t(100), rlim_t(100000)}) {
        const rlimit low{limit, before.rlim_max};
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
        const std::string message = error_of([&] { write_safetensors(path, tensors); });
        ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
        EXPECT_THAT(message, AllOf(HasSubstr("cannot be written: File too large"), HasSubstr("free space")));
        EXPECT_EQ(testing::file_content(path), "old");
        EXPECT_THAT(folder.files(), ElementsAre("w"));
    }
    std::signal(SIGXFSZ, handler);
    write_safetensors(path, tensors);
    EXPECT_EQ(read_safetensors(path).find("a")->size(), many.size());
}
#endif

}  // namespace
}  // namespace mia
