#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <mia/io/safetensors.hpp>
#include <mia/io/torch_checkpoint.hpp>
#include <string>
#include <vector>

#include "check_io.hpp"
#include "pickle_builder.hpp"
#include "temporary_folder.hpp"

namespace mia {
namespace {

using ::testing::AllOf;
using testing::as_bytes;
using testing::error_of;
using testing::expect_equal;
using testing::fixture;
using ::testing::HasSubstr;
using testing::make_checkpoint;
using testing::make_zip;
namespace pickle = testing::pickle;

std::string checkpoint_error(const std::string& file, TorchKey key = TorchKey::params) {
    return error_of([&] { parse_torch(as_bytes(file), "file", key); });
}

/// Error of a checkpoint whose only tensor 'w' is made by these opcodes.
std::string tensor_error(const std::string& tensor, const std::vector<std::string>& storages) {
    return checkpoint_error(make_checkpoint(pickle::whole(pickle::dict({{"w", tensor}})), storages));
}

std::string floats(int count) {
    std::string bytes;
    for (int i = 0; i < count; ++i) testing::append_le(bytes, float(i));
    return bytes;
}

std::vector<float> values_of(const StateDict& dict, std::string_view name) {
    const TensorEntry* entry = dict.find(name);
    if (entry == nullptr) return {};
    std::vector<float> values(entry->size());
    copy_as_float(*entry, values.data());
    return values;
}

TEST(TorchCheckpoint, reads_a_state_dict) {
    const StateDict dict = read_torch(fixture("plain.pth"));
    expect_equal(dict, read_safetensors(fixture("plain.expected.safetensors")));
    EXPECT_EQ(dict.source(), fixture("plain.pth"));
    EXPECT_TRUE(dict.metadata().empty());
}

TEST(TorchCheckpoint, reads_params_and_params_ema) {
    expect_equal(read_torch(fixture("params_and_ema.pth")),
                 read_safetensors(fixture("params_and_ema.params.expected.safetensors")));
    expect_equal(read_torch(fixture("params_and_ema.pth"), TorchKey::params_ema),
                 read_safetensors(fixture("params_and_ema.params_ema.expected.safetensors")));
}

TEST(TorchCheckpoint, reads_every_type_and_views_that_are_not_contiguous) {
    const StateDict dict = read_torch(fixture("mixed.pth"));
    expect_equal(dict, read_safetensors(fixture("mixed.expected.safetensors")));
    const auto dtype = [&](const char* name) { return dict.find(name)->dtype; };
    EXPECT_EQ(dtype("half"), DType::float16);
    EXPECT_EQ(dtype("bool"), DType::boolean);
    EXPECT_EQ(dict.find("transposed")->shape, (std::vector<std::int64_t>{6, 4}));
    EXPECT_NE(dict.find("Gr\xC3\xB6\xC3\x9F"
                        "e.\xE5\xB9\x85"),
              nullptr);
}

TEST(TorchCheckpoint, reads_a_state_dict_among_other_things) {
    const StateDict expected = read_safetensors(fixture("plain.expected.safetensors"));
    expect_equal(read_torch(fixture("training.pth")), expected);
    expect_equal(read_torch(fixture("training.pth"), TorchKey::state_dict), expected);
    expect_equal(read_torch(fixture("protocol4.pth")), expected);
}

TEST(TorchCheckpoint, says_what_there_is_when_the_key_is_missing) {
    EXPECT_THAT(error_of([] { read_torch(fixture("training.pth"), TorchKey::params_ema); }),
                AllOf(HasSubstr("no dictionary of tensors called 'params_ema'"),
                      HasSubstr("'epoch', 'lr', 'best', 'done', 'milestones', 'state_dict'")));
    EXPECT_THAT(error_of([] { read_torch(fixture("plain.pth"), TorchKey::params_ema); }), HasSubstr("'0.weight'"));
    const std::string only_ema = make_checkpoint(pickle::whole(pickle::dict({{"params_ema", "}"}})));
    EXPECT_THAT(checkpoint_error(only_ema), HasSubstr("called 'params'; it holds 'params_ema'"));
    EXPECT_EQ(checkpoint_error(only_ema, TorchKey::params_ema), "");
    EXPECT_THAT(checkpoint_error(make_checkpoint(pickle::whole(pickle::dict({{"params", "}"}, {"params", "}"}})))),
                HasSubstr("holds 'params' twice"));
    std::vector<std::pair<std::string, std::string>> many(1000, {"a name of some length", "N"});
    EXPECT_THAT(checkpoint_error(make_checkpoint(pickle::whole(pickle::dict(many)))), HasSubstr("' and 9"));
}

TEST(TorchCheckpoint, refuses_older_formats_and_near_misses) {
    EXPECT_THAT(error_of([] { read_torch(fixture("legacy.pth")); }),
                AllOf(HasSubstr("before PyTorch 1.6"), HasSubstr("recent PyTorch")));
    EXPECT_THAT(error_of([] { read_torch(fixture("module.pth")); }), HasSubstr("'torch.nn.modules.linear.Linear'"));
    std::string tar(1024, '\0');
    tar.replace(257, 5, "ustar");
    EXPECT_THAT(checkpoint_error(tar), HasSubstr("tar archive"));
    EXPECT_THAT(checkpoint_error("\x80\x02}."), HasSubstr("a bare pickle"));
    EXPECT_THAT(checkpoint_error("something else"), HasSubstr("starts with 'some'"));
    EXPECT_THAT(checkpoint_error(""), HasSubstr("starts with ''"));
    EXPECT_THAT(checkpoint_error(make_zip({{"readme.txt", "hello"}})), HasSubstr("none is <name>/data.pkl"));
    EXPECT_THAT(checkpoint_error(make_zip({{"a/b/data.pkl", "N."}})), HasSubstr("none is <name>/data.pkl"));
    EXPECT_THAT(checkpoint_error(make_zip({{"data.pkl", "N."}})), HasSubstr("none is <name>/data.pkl"));
    EXPECT_THAT(checkpoint_error(make_zip({{"a/data.pkl", "}."}, {"b/data.pkl", "}."}})), HasSubstr("two checkpoints"));
    EXPECT_EQ(checkpoint_error(make_zip({{"a/data.pkl", "}."}, {"a/byteorder", "little"}})), "");
    EXPECT_THAT(checkpoint_error(make_zip({{"a/data.pkl", "}."}, {"a/byteorder", "big"}})), HasSubstr("big-endian"));
}

TEST(TorchCheckpoint, refuses_every_truncation_of_a_real_file) {
    const std::string file = testing::file_content(fixture("plain.pth"));
    for (std::size_t size = 0; size < file.size(); ++size)
        EXPECT_NE(checkpoint_error(file.substr(0, size)), "") << size;
}

TEST(TorchCheckpoint, refuses_a_compressed_pickle) {
    testing::ZipItem item("a/data.pkl", "}.");
    item.method = 8;
    EXPECT_THAT(checkpoint_error(make_zip({item})),
                HasSubstr("'a/data.pkl' of the zip archive is compressed (method 8)"));
}

TEST(TorchCheckpoint, refuses_what_is_no_state_dict) {
    const auto error = [](const std::string& root) { return checkpoint_error(make_checkpoint(pickle::whole(root))); };
    EXPECT_THAT(error("N"), HasSubstr("the checkpoint is None, not a dictionary"));
    EXPECT_THAT(error("]"), HasSubstr("the checkpoint is a list"));
    EXPECT_EQ(error("}"), "");
    EXPECT_THAT(error(pickle::dict({{"params", pickle::dict({{"epoch", "K\x01"}})}})),
                HasSubstr("the entry 'epoch' is an int, not a tensor"));
    EXPECT_THAT(error("}" + pickle::str("params") + "}(K\x01Nus"),
                HasSubstr("a name in the dictionary of tensors is an int"));
    const std::string w = pickle::tensor(pickle::storage("FloatStorage", "0", 4), 0, {4}, {1});
    EXPECT_THAT(checkpoint_error(make_checkpoint(pickle::whole(pickle::dict({{"w", w}, {"w", w}})), {floats(4)})),
                HasSubstr("the tensor 'w' occurs twice"));
}

TEST(TorchCheckpoint, refuses_storages_that_do_not_fit) {
    const auto storage = [](std::int64_t elements, const char* key = "0") {
        return pickle::tensor(pickle::storage("FloatStorage", key, elements), 0, {4}, {1});
    };
    EXPECT_EQ(tensor_error(storage(4), {floats(4)}), "");
    EXPECT_THAT(tensor_error(storage(4, "1"), {floats(4)}), HasSubstr("no entry 'archive/data/1'"));
    EXPECT_THAT(tensor_error(storage(4), {floats(3)}), HasSubstr("storage '0' of 4 elements, which has 12 bytes"));
    EXPECT_THAT(tensor_error(storage(4), {floats(4) + "x"}), HasSubstr("which has 17 bytes"));
    EXPECT_THAT(tensor_error(storage(-1), {""}), HasSubstr("of -1 elements"));
    EXPECT_THAT(tensor_error(storage(INT64_MAX), {floats(4)}), HasSubstr("of 9223372036854775807 elements"));
    EXPECT_THAT(tensor_error(storage((std::int64_t(1) << 62) + 4), {floats(4)}), HasSubstr("which has 16 bytes"));
}

TEST(TorchCheckpoint, refuses_tensors_that_leave_their_storage) {
    const auto view = [](std::int64_t offset, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& strides) {
        return tensor_error(pickle::tensor(pickle::storage("FloatStorage", "0", 6), offset, shape, strides),
                            {floats(6)});
    };
    const std::int64_t huge = std::int64_t(1) << 60;
    EXPECT_EQ(view(0, {2, 3}, {3, 1}), "");
    EXPECT_EQ(view(6, {0}, {1}), "");
    EXPECT_EQ(view(5, {}, {}), "");
    EXPECT_THAT(view(6, {}, {}), HasSubstr("needs element 6 of storage '0', which has 6"));
    EXPECT_THAT(view(1, {2, 3}, {3, 1}),
                HasSubstr("tensor 'w' (float32 (2, 3), strides (3, 1), offset 1) needs element 6"));
    EXPECT_THAT(view(0, {7}, {1}), HasSubstr("needs element 6"));
    EXPECT_THAT(view(0, {2}, {6}), HasSubstr("needs element 6"));
    EXPECT_THAT(view(-1, {2}, {1}), HasSubstr("negative offset"));
    EXPECT_THAT(view(4, {2}, {-1}), HasSubstr("negative stride"));
    EXPECT_THAT(view(0, {-2}, {1}), HasSubstr("negative extent"));
    EXPECT_THAT(view(INT64_MAX, {2}, {1}), HasSubstr("needs element"));
    EXPECT_THAT(view(INT64_MAX, {2, 2}, {INT64_MAX, INT64_MAX}), HasSubstr("further than 64 bits"));
    EXPECT_THAT(view(0, {huge}, {INT64_MAX}), HasSubstr("further than 64 bits"));
    EXPECT_THAT(view(0, {huge, huge}, {0, 0}), HasSubstr("more elements than any file"));
    EXPECT_THAT(view(0, {huge}, {0}), HasSubstr("repeats elements of its storage, which has only 6"));
    EXPECT_THAT(view(0, {7, 1}, {0, 1}), HasSubstr("repeats elements"));
}

TEST(TorchCheckpoint, gathers_views) {
    const std::string storage = pickle::storage("FloatStorage", "0", 24);
    const std::string file = make_checkpoint(
        pickle::whole(pickle::dict({{"transposed", pickle::tensor(storage, 0, {3, 2}, {1, 3})},
                                    {"step", pickle::tensor(storage, 1, {3}, {4})},
                                    {"permuted", pickle::tensor(storage, 0, {2, 2, 2}, {1, 6, 3})},
                                    {"one_axis_of_one", pickle::tensor(storage, 2, {1, 3, 1}, {99, 1, 77})},
                                    {"repeated", pickle::tensor(storage, 5, {2, 2}, {0, 1})}})),
        {floats(24)});
    const StateDict dict = parse_torch(as_bytes(file), "file");
    EXPECT_EQ(values_of(dict, "transposed"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
    EXPECT_EQ(values_of(dict, "step"), (std::vector<float>{1, 5, 9}));
    EXPECT_EQ(values_of(dict, "permuted"), (std::vector<float>{0, 3, 6, 9, 1, 4, 7, 10}));
    EXPECT_EQ(values_of(dict, "one_axis_of_one"), (std::vector<float>{2, 3, 4}));
    EXPECT_EQ(values_of(dict, "repeated"), (std::vector<float>{5, 6, 5, 6}));
    // A contiguous view stays in the file's bytes, whatever the strides of axes of one element say.
    const auto* data = reinterpret_cast<const char*>(dict.find("one_axis_of_one")->data);
    EXPECT_TRUE(data >= file.data() && data < file.data() + file.size());
}

TEST(TorchCheckpoint, many_views_of_one_storage_cannot_multiply_memory) {
    constexpr int n = 100;
    const std::string view = pickle::tensor(pickle::storage("FloatStorage", "0", n * n), 0, {n, n}, {1, n});
    std::vector<std::pair<std::string, std::string>> items;
    for (int i = 0; i < 50; ++i) items.emplace_back("w" + std::to_string(i), view);
    EXPECT_THAT(checkpoint_error(make_checkpoint(pickle::whole(pickle::dict(items)), {floats(n * n)})),
                HasSubstr("more memory than the file has"));
}

/// As many tensors and bytes as the published checkpoint.
TEST(TorchCheckpoint, reads_70_megabytes_in_1690_tensors_quickly) {
    constexpr int tensors = 1690, side = 102;  // 1690 * 102 * 102 * 4 bytes
    std::vector<std::pair<std::string, std::string>> items;
    std::vector<std::string> storages(tensors, floats(side * side));
    for (int i = 0; i < tensors; ++i)
        items.emplace_back("patch_align.backward_1.layers.0.residual_group.blocks." + std::to_string(i) + ".weight",
                           pickle::tensor(pickle::storage("FloatStorage", std::to_string(i), side * side), 0,
                                          {side, side}, {side, 1}));
    const testing::TemporaryFolder folder;
    const auto path = folder.write(
        "large.pth", make_checkpoint(pickle::whole(pickle::dict({{"params", pickle::dict(items)}})), storages));
    const auto start = std::chrono::steady_clock::now();
    const StateDict dict = read_torch(path);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    EXPECT_EQ(dict.entries().size(), std::size_t(tensors));
    RecordProperty("seconds", std::to_string(seconds.count()));
    // About 0.1 s on one core of 2020; the bound leaves room for sanitizers and busy machines, not for anything that
    // grows faster than the file.
    EXPECT_LT(seconds.count(), 10) << "reading took " << seconds.count() << " s";
    std::cout << "[ seconds  ] " << seconds.count() << "\n";
}

}  // namespace
}  // namespace mia
