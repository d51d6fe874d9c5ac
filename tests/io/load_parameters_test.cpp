#include "mia/io/load_parameters.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <filesystem>
#include <limits>

#include "mia/models/mia_vsr.hpp"

namespace mia {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// A StateDict made in the test; tensors of `value`, all in one buffer.
class File {
public:
    explicit File(float value = 0.25f) : numbers_(1 << 21, value) {}
    void add(std::string name, std::vector<std::int64_t> shape, DType dtype = DType::float32) {
        std::size_t count = 1;
        for (const std::int64_t n : shape) count *= std::size_t(n);
        ASSERT_LE(count * size_of(dtype), numbers_.size() * sizeof(float));
        entries_.push_back({std::move(name), dtype, std::move(shape),
                            reinterpret_cast<const std::byte*>(numbers_.data()), count * size_of(dtype)});
    }
    StateDict dict() const { return {"weights.pth", entries_, {}, nullptr}; }
    std::size_t size() const { return entries_.size(); }
    std::vector<float>& numbers() { return numbers_; }

private:
    std::vector<float> numbers_;
    std::vector<TensorEntry> entries_;
};

struct Net {
    Conv2d<Conv2dConfig{.in_channels = 3, .out_channels = 4}> conv;
    std::array<Linear<LinearConfig{.in_features = 4, .out_features = 2, .bias = false}>, 2> layers;
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("conv", self.conv);
        visit("layers", self.layers);
    }
};
File net_file() {
    File file;
    file.add("conv.weight", {4, 3, 3, 3});
    file.add("conv.bias", {4});
    file.add("layers.0.weight", {2, 4});
    file.add("layers.1.weight", {2, 4});
    return file;
}

template <class M>
std::string refusal(const StateDict& file, const LoadOptions& options = {}) {
    Cpu cpu;
    Network<M> net(cpu);
    try {
        load_parameters(*net, file, options);
    } catch (const Error& error) {
        return error.what();
    }
    return "loaded";
}

TEST(LoadParameters, FillsEveryParameter) {
    Cpu cpu;
    Network<Net> net(cpu);
    load_parameters(*net, net_file().dict());
    for (std::ptrdiff_t i = 0; i < net.flat().size(); ++i) EXPECT_EQ(net.flat()[i], 0.25f);
}

TEST(LoadParameters, SaysEverythingThatDoesNotFitInOneMessage) {
    File file;
    file.add("conv.weight", {4, 3, 5, 5});
    file.add("conv.bias", {4});
    file.add("layers.0.weight", {2, 4});
    file.add("layers.2.weight", {2, 4});
    EXPECT_THAT(refusal<Net>(file.dict()), AllOf(HasSubstr("weights.pth: 3 tensors do not fit this model"),
                                                 HasSubstr("conv.weight: file (4, 3, 5, 5), model (4, 3, 3, 3)"),
                                                 HasSubstr("layers.1.weight: missing; model (2, 4)"),
                                                 HasSubstr("'layers.2.weight': unexpected; file (2, 4)"),
                                                 HasSubstr("Assemble the model"), Not(HasSubstr("conv.bias"))));
}

TEST(LoadParameters, SameNumberOfElementsIsNotTheSameShape) {
    File turned;
    turned.add("conv.weight", {4, 3, 3, 3});
    turned.add("conv.bias", {4});
    turned.add("layers.0.weight", {4, 2});
    turned.add("layers.1.weight", {2, 4});
    EXPECT_THAT(refusal<Net>(turned.dict()), HasSubstr("layers.0.weight: file (4, 2), model (2, 4)"));
}

TEST(LoadParameters, RefusesNumbersThatAreNone) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
        File file = net_file();
        file.numbers()[2] = bad;
        EXPECT_THAT(refusal<Net>(file.dict()), AllOf(HasSubstr("conv.weight"), HasSubstr("not a finite number")));
    }
}

TEST(LoadParameters, AManyfoldMisfitIsCutShort) {
    File file = net_file();
    for (int i = 0; i < 100; ++i) file.add("more." + std::to_string(i), {1});
    EXPECT_THAT(refusal<Net>(file.dict()), AllOf(HasSubstr("100 tensors"), HasSubstr("... and 80 more")));
}

TEST(LoadParameters, WhatWasPackedIsDropped) {
    Cpu cpu;
    Network<Net> net(cpu);
    prepare(cpu, *net);
    Tensor<float, 3> x(2, 2, 3), y(2, 2, 4);
    std::fill(x.data(), x.data() + x.size(), 1.0f);
    net->conv.forward(cpu, x, y);
    load_parameters(*net, net_file().dict());
    EXPECT_THROW(net->conv.forward(cpu, x, y), Error);
}

/// The official checkpoint's tensors, by the specification's table (section 10) and not by the model's own list.
File official(int C, int heads, std::vector<int> depths, bool mask, bool unused = true) {
    File file;
    const auto pair = [&](const std::string& name, std::vector<std::int64_t> weight) {
        const std::int64_t out = weight[0];
        file.add(name + ".weight", std::move(weight));
        file.add(name + ".bias", {out});
    };
    const auto norm = [&](const std::string& name) { pair(name, {C}); };
    const int M = 64;
    pair("conv_first", {C, 3, 3, 3});
    pair("conv_before_upsample", {M, C, 3, 3});
    pair("upconv1", {4 * M, M, 3, 3});
    pair("upconv2", {256, M, 3, 3});
    pair("conv_hr", {64, 64, 3, 3});
    pair("conv_last", {3, 64, 3, 3});
    const int widths[] = {8, 32, 64, 32, 16, 2};
    for (int level = 0; level < 6; ++level)
        for (int i = 0; i < 5; ++i)
            pair("spynet.basic_module." + std::to_string(level) + ".basic_module." + std::to_string(2 * i),
                 {widths[i + 1], widths[i], 7, 7});
    file.add("spynet.mean", {1, 3, 1, 1});
    file.add("spynet.std", {1, 3, 1, 1});
    for (const std::string branch : {"backward_1", "forward_1", "backward_2", "forward_2"}) {
        const std::string p = "patch_align." + branch + ".";
        if (unused) {
            pair(p + "conv_first", {C, 3, 3, 3});
            pair(p + "conv_first_feat", {C, 64, 3, 3});
            pair(p + "conv_before_upsample", {64, C, 3, 3});
        }
        norm(p + "patch_embed.norm");
        for (std::size_t l = 0; l < depths.size(); ++l) {
            for (int k = 0; k < depths[l]; ++k) {
                const std::string b =
                    p + "layers." + std::to_string(l) + ".residual_group.blocks." + std::to_string(k) + ".";
                norm(b + "norm1");
                norm(b + "norm2");
                file.add(b + "attn.relative_position_bias_table", {675, heads});
                if (unused) file.add(b + "attn.relative_position_index", {64, 192}, DType::int64);
                if (mask) pair(b + "attn.predmask.rnn", {1, C});
                pair(b + "attn.qkv", {3 * C, C});
                pair(b + "attn.proj", {C, C});
                pair(b + "mlp.fc1", {2 * C, C});
                pair(b + "mlp.fc2", {C, 2 * C});
            }
            pair(p + "layers." + std::to_string(l) + ".conv", {C, C, 3, 3});
        }
        norm(p + "norm");
        pair(p + "conv_after_body", {C, C, 3, 3});
    }
    return file;
}
using TinyUnmasked = MiaVsr<MiaVsrConfig{.embed_dim = 96, .depths = {{6}}, .mask = {.kind = MaskKind::none}}>;

TEST(LoadParameters, TheOfficialFilesFit) {
    const File base = official(120, 6, {6, 6, 6, 6}, true);
    EXPECT_EQ(base.size(), 1690u);
    EXPECT_EQ(refusal<MiaVsrBase<>>(base.dict()), "loaded");
    EXPECT_EQ(refusal<MiaVsrTiny<>>(official(96, 6, {6}, true).dict()), "loaded");
    EXPECT_EQ(refusal<MiaVsrTiny<>>(official(96, 6, {6}, true, false).dict()), "loaded");
    EXPECT_EQ(refusal<TinyUnmasked>(official(96, 6, {6}, false).dict()), "loaded");
}

TEST(LoadParameters, AnUnusedMaskIsRefusedUnlessTheCallerKnows) {
    const File official_file = official(96, 6, {6}, true);  // the dictionary looks into it
    const StateDict file = official_file.dict();
    EXPECT_THAT(refusal<TinyUnmasked>(file), HasSubstr("attn.predmask.rnn.weight': unexpected"));
    EXPECT_EQ(refusal<TinyUnmasked>(file, {.prefix = "", .mask = MaskTensors::optional}), "loaded");
    EXPECT_THAT(refusal<MiaVsrTiny<>>(official(96, 6, {6}, false).dict()),
                HasSubstr("attn.predmask.rnn.weight: missing"));
}

TEST(LoadParameters, SpyNetFilesWithAndWithoutBuffers) {
    for (const bool buffers : {true, false}) {
        File file;
        const int widths[] = {8, 32, 64, 32, 16, 2};
        for (int level = 0; level < 6; ++level)
            for (int i = 0; i < 5; ++i) {
                const std::string name =
                    "basic_module." + std::to_string(level) + ".basic_module." + std::to_string(2 * i);
                file.add(name + ".weight", {widths[i + 1], widths[i], 7, 7});
                file.add(name + ".bias", {widths[i + 1]});
            }
        if (buffers) {
            file.add("mean", {1, 3, 1, 1});
            file.add("std", {1, 3, 1, 1});
        }
        Cpu cpu;
        Network<SpyNet<>> spynet(cpu);
        load_parameters(*spynet, file.dict());
        for_each_parameter(std::as_const(*spynet), [&](const std::string& name, const auto& p) {
            if (name == "mean") {
                EXPECT_FLOAT_EQ(p.data[0], buffers ? 0.25f : 0.485f);
            }
        });
    }
}

TEST(SaveParameters, ComeBackWithTheirMetadata) {
    const auto path = std::filesystem::temp_directory_path() / "mia_save_parameters_test.safetensors";
    Cpu cpu;
    Network<Net> net(cpu), other(cpu);
    for (std::ptrdiff_t i = 0; i < net.flat().size(); ++i) net.flat()[i] = float(i) / 7;
    save_parameters(*net, path, {{"scale", "4"}});
    const StateDict file = read_safetensors(path);
    EXPECT_EQ(file.metadata().at("scale"), "4");
    load_parameters(*other, file);
    EXPECT_EQ(0, std::memcmp(net.flat().data, other.flat().data, std::size_t(net.flat().size()) * sizeof(float)));
    std::filesystem::remove(path);
}

}  // namespace
}  // namespace mia
