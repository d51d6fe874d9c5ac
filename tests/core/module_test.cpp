#include "mia/core/module.hpp"

#include <gtest/gtest.h>

#include "mia/models/mia_vsr.hpp"

namespace mia {
namespace {

template <class B>
struct Leaf {
    Parameter<B, 2, 3> weight;
    ParameterBuffer<B, 4> mean;
    bool packed = false;
    void pack(B&) { packed = true; }
    void drop_packing() { packed = false; }
    void reset_buffers() { std::fill_n(mean.view().data, 4, typename B::Scalar(0.5)); }
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("weight", self.weight);
        visit("mean", self.mean);
    }
};

template <class B>
struct Tree {
    std::array<Leaf<B>, 2> blocks;
    std::tuple<Leaf<B>, Parameter<B, 5>> layers;
    Leaf<B> inner;
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("blocks", self.blocks);
        visit("layers", self.layers);
        visit("", self.inner);
    }
};
static_assert(Module<Tree<Cpu>> && !Module<int>);

TEST(Module, TheWalkNamesParametersAsTheCheckpointDoes) {
    Cpu cpu;
    Network<Tree<Cpu>> tree(cpu);
    std::vector<std::string> names;
    for_each_parameter(std::as_const(*tree), [&](const std::string& name, const auto&) { names.push_back(name); });
    EXPECT_EQ(names, (std::vector<std::string>{"blocks.0.weight", "blocks.0.mean", "blocks.1.weight", "blocks.1.mean",
                                               "layers.0.weight", "layers.0.mean", "layers.1", "weight", "mean"}));
    std::vector<std::string> modules;
    for_each_module(std::as_const(*tree), [&](const std::string& path, const auto&) { modules.push_back(path); });
    EXPECT_EQ(modules, (std::vector<std::string>{"", "blocks.0", "blocks.1", "layers.0", ""}));
}

TEST(Module, CountsWithAndWithoutBuffers) {
    const Tree<Cpu> tree;
    EXPECT_EQ(parameter_count(tree), 4 * 6 + 5);
    EXPECT_EQ(parameter_count(tree, CountBuffers::yes), 4 * 10 + 5);
}

TEST(Network, BindsOneFlatBufferWithBuffersAtTheirDefaults) {
    Cpu cpu;
    Network<Tree<Cpu>> tree(cpu);
    const auto flat = tree.flat();
    ASSERT_EQ(flat.extent(0), 45);
    const float* next = flat.data;
    for_each_parameter(*tree, [&](const std::string& name, const auto& p) {
        EXPECT_EQ(p.data, next) << name;
        for (int i = 0; i < p.size; ++i) EXPECT_EQ(p.data[i], p.is_trained ? 0 : 0.5f) << name;
        next += p.size;
    });
    EXPECT_EQ(next, flat.data + 45);
    const Tree<Cpu>* place = &*tree;
    Network<Tree<Cpu>> moved = std::move(tree);
    EXPECT_EQ(&*moved, place) << "a module's address stays";
}

TEST(Module, AWalkThatMayWriteDropsThePacking) {
    Cpu cpu;
    Network<Tree<Cpu>> tree(cpu);
    const auto all_packed = [&] {
        int packed = 0;
        for_each_module(std::as_const(*tree), [&](const std::string&, const auto& module) {
            if constexpr (requires { module.packed; }) packed += module.packed;
        });
        return packed;
    };
    EXPECT_EQ(all_packed(), 0);
    prepare(cpu, *tree);
    EXPECT_EQ(all_packed(), 4);
    for_each_parameter(std::as_const(*tree), [](const std::string&, const auto&) {});
    EXPECT_EQ(all_packed(), 4);
    for_each_parameter(*tree, [](const std::string&, auto&&) {});
    EXPECT_EQ(all_packed(), 0);
}

TEST(Module, RunningWithoutPreparingIsAnError) {
    Cpu cpu;
    Network<Linear<LinearConfig{.in_features = 3, .out_features = 2}>> linear(cpu);
    Tensor<float, 2> x(1, 3), y(1, 2);
    std::fill(x.data(), x.data() + 3, 1.0f);
    EXPECT_THROW(linear->forward(cpu, x, y), Error);
    prepare(cpu, *linear);
    linear->forward(cpu, x, y);
    EXPECT_EQ(y.data()[1], 0);
    for_each_parameter(*linear, [](const std::string&, auto&& p) { std::fill(p.data, p.data + p.size, 1.0f); });
    EXPECT_THROW(linear->forward(cpu, x, y), Error) << "parameters changed since";
    prepare(cpu, *linear);
    linear->forward(cpu, x, y);
    EXPECT_EQ(y.data()[1], 4);
}

template <class Model>
std::int64_t trained_parameters() {
    return parameter_count(*std::make_unique<Model>());
}

TEST(Module, ThePapersModelsHaveThePapersParameters) {
    EXPECT_EQ(trained_parameters<MiaVsrBase<>>(), 16'029'583);
    EXPECT_EQ(trained_parameters<MiaVsrSmall<>>(), 5'783'191);
    EXPECT_EQ(trained_parameters<MiaVsrTiny<>>(), 4'392'631);
    EXPECT_EQ(trained_parameters<MiaVsrLite<>>(), 218'344);
}

TEST(Module, NamesOfThePublishedModel) {
    const auto model = std::make_unique<MiaVsrSmall<>>();
    std::map<std::string, std::vector<int>> shapes;
    for_each_parameter(std::as_const(*model), [&](const std::string& name, const auto& p) {
        EXPECT_TRUE(shapes.emplace(name, std::vector<int>(p.shape.begin(), p.shape.end())).second) << name;
    });
    using S = std::vector<int>;
    EXPECT_EQ(shapes.at("conv_first.weight"), (S{120, 3, 3, 3}));
    EXPECT_EQ(shapes.at("upconv2.bias"), (S{256}));
    EXPECT_EQ(shapes.at("spynet.basic_module.5.basic_module.8.weight"), (S{2, 16, 7, 7}));
    EXPECT_EQ(shapes.at("spynet.mean"), (S{1, 3, 1, 1}));
    const std::string block = "patch_align.forward_2.layers.0.residual_group.blocks.5.";
    EXPECT_EQ(shapes.at(block + "attn.relative_position_bias_table"), (S{675, 6}));
    EXPECT_EQ(shapes.at(block + "attn.predmask.rnn.weight"), (S{1, 120}));
    EXPECT_EQ(shapes.at(block + "attn.qkv.weight"), (S{360, 120}));
    EXPECT_EQ(shapes.at(block + "mlp.fc1.weight"), (S{240, 120}));
    EXPECT_EQ(shapes.at("patch_align.backward_1.patch_embed.norm.bias"), (S{120}));
    EXPECT_EQ(shapes.at("patch_align.backward_1.conv_after_body.weight"), (S{120, 120, 3, 3}));
    EXPECT_FALSE(shapes.contains("patch_align.backward_1.conv_first_feat.weight"));
}

}  // namespace
}  // namespace mia
