#include "mia/train/training_state.hpp"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "mia/core/cpu.hpp"
#include "mia/models/mia_vsr.hpp"
#include "support/folder_test.hpp"
#include "support/toy_parts.hpp"

namespace mia {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr MiaVsrConfig toy{.embed_dim = 8,
                           .num_heads = 2,
                           .window = {3, 4, 4},
                           .depths = {{1}},
                           .directions = directions(Direction::forward),
                           .mask = {.kind = MaskKind::none},
                           .mid_channels = 4};
constexpr MiaVsrConfig with(auto change) {
    MiaVsrConfig config = toy;
    change(config);
    return config;
}
using Toy = MiaVsr<toy, Cpu, test::ToyParts>;
using MoreHeads = MiaVsr<with([](auto& c) { c.num_heads = 4; }), Cpu, test::ToyParts>;
using Wider = MiaVsr<with([](auto& c) { c.embed_dim = 16; }), Cpu, test::ToyParts>;

/// Four buffers of numbers that differ everywhere.
struct Buffers {
    std::vector<float> numbers;
    std::ptrdiff_t size;
    Buffers(std::ptrdiff_t each, float step) : numbers(std::size_t(4 * each)), size(each) {
        for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = step * float(i + 1);
    }
    TrainingBuffers views() {
        const auto view = [&](int i) { return View<float, 1>{numbers.data() + i * size, {int(size)}}; };
        return {view(0), view(1), view(2), view(3)};
    }
};

class TrainingState : public test::FolderTest {
protected:
    void save() {
        save_training_state(path, *network, saved.views(), {123456789012, 0xFFFFFFFFFFFFFFFF, "batch: 2\n"});
    }
    /// The message of loading as M, which must leave the buffers alone.
    template <class M = Toy>
    std::string refusal() {
        Cpu back;
        Network<M> other(back);
        Buffers loaded(other.flat().size(), 2);
        const auto before = loaded.numbers;
        try {
            load_training_state<M>(path, loaded.views());
        } catch (const Error& error) {
            EXPECT_EQ(loaded.numbers, before);
            return error.what();
        }
        return "no error";
    }

    std::filesystem::path path = folder / "run.safetensors";
    Cpu cpu;
    Network<Toy> network{cpu};
    Buffers saved{network.flat().size(), 1};
};

TEST_F(TrainingState, ComesBackInEveryByte) {
    save();
    Buffers loaded(network.flat().size(), 2);
    const TrainingProgress progress = load_training_state<Toy>(path, loaded.views());
    EXPECT_EQ(loaded.numbers, saved.numbers);
    EXPECT_EQ(progress.iteration, 123456789012);
    EXPECT_EQ(progress.seed, 0xFFFFFFFFFFFFFFFF);
    EXPECT_EQ(progress.config, "batch: 2\n");
}

TEST_F(TrainingState, ATruncatedFileIsRefused) {
    save();
    const auto whole = std::filesystem::file_size(path);
    for (const auto bytes : {std::uintmax_t(0), std::uintmax_t(100), whole / 2, whole - 1}) {
        std::filesystem::resize_file(path, bytes);
        EXPECT_THAT(refusal(), HasSubstr(path.string())) << bytes;
        save();
    }
    EXPECT_EQ(refusal(), "no error");
}

TEST_F(TrainingState, AnotherModelIsRefused) {
    save();
    EXPECT_THAT(refusal<MoreHeads>(), HasSubstr("of a model with num_heads 2; this one has 4"));
    EXPECT_THAT(refusal<Wider>(), HasSubstr("of a model with embed_dim 8; this one has 16"));
}

TEST_F(TrainingState, WeightsAreNoState) {
    save_parameters(*network, path, model_metadata<Toy>());
    EXPECT_THAT(refusal(), HasSubstr("this is no training state"));
}

TEST_F(TrainingState, WhatIsMissingOrTooMuchIsNamed) {
    save();
    const StateDict file = read_safetensors(path);
    const auto write = [&](auto keep, std::map<std::string, std::string> metadata, bool more = false) {
        std::vector<TensorToWrite> tensors;
        for (const TensorEntry& entry : file.entries())
            if (keep(entry.name)) tensors.push_back({entry.name, entry.shape, saved.numbers.data()});
        if (more) tensors.push_back({"third_moment", {1}, saved.numbers.data()});
        write_safetensors(path, tensors, metadata);
    };
    const auto all = [](const std::string&) { return true; };
    write([](const std::string& name) { return name != "average.conv_first.bias"; }, file.metadata());
    EXPECT_THAT(refusal(), HasSubstr("average.conv_first.bias is missing"));
    write(all, file.metadata(), true);
    EXPECT_THAT(refusal(), HasSubstr("1 tensors belong to nothing"));
    auto metadata = file.metadata();
    metadata["iteration"] = "12x";
    write(all, metadata);
    EXPECT_THAT(refusal(), HasSubstr("the training state's iteration is missing or no whole number"));
    metadata = file.metadata();
    metadata["training_state"] = "2";
    write(all, metadata);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("of version"), HasSubstr("knows version 1")));
}

TEST_F(TrainingState, NaNIsNotSavedAndWhatWasThereStays) {
    save();
    saved.views().second_moment[3] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT([&] { save(); }, testing::ThrowsMessage<Error>(HasSubstr("second_moment.conv_first.weight")));
    EXPECT_EQ(refusal(), "no error");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
}

}  // namespace
}  // namespace mia
