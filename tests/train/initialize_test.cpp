#include "mia/train/initialize.hpp"

#include <gmock/gmock.h>

#include <cstring>
#include <map>
#include <vector>

#include "mia/models/mia_vsr.hpp"

namespace mia {
namespace {

constexpr MiaVsrConfig config{.embed_dim = 48, .num_heads = 2, .depths = {{2}}, .mid_channels = 16};  // with a mask
using Model = MiaVsr<config>;

/// Mean, standard deviation and largest size of one parameter.
struct Moments {
    double mean = 0, deviation = 0, largest = 0;
    std::ptrdiff_t size = 0;
};

std::map<std::string, Moments> moments(std::uint64_t seed) {
    Cpu cpu;
    Network<Model> network(cpu);
    initialize(*network, seed);
    std::map<std::string, Moments> all;
    for_each_parameter(*network, [&](const std::string& name, const auto& p) {
        Moments m{.size = p.size};
        for (std::ptrdiff_t i = 0; i < p.size; ++i) {
            m.mean += double(p.data[i]) / double(p.size);
            m.largest = std::max(m.largest, std::abs(double(p.data[i])));
        }
        for (std::ptrdiff_t i = 0; i < p.size; ++i) m.deviation += std::pow(double(p.data[i]) - m.mean, 2);
        m.deviation = std::sqrt(m.deviation / double(p.size));
        all[name] = m;
    });
    return all;
}

/// Five times what the mean and the deviation of so many random numbers stray.
void expect_moments(const Moments& m, double deviation) {
    const double stray = 5 * deviation / std::sqrt(double(m.size));
    EXPECT_NEAR(m.mean, 0, stray);
    EXPECT_NEAR(m.deviation, deviation, stray);
}

const std::string block = "patch_align.backward_1.layers.0.residual_group.blocks.1.";

TEST(Initialize, LinearMapsAreNormalAndTheirBiasesZero) {
    auto all = moments(1);
    for (const std::string name : {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "attn.predmask.rnn"}) {
        SCOPED_TRACE(name);
        expect_moments(all.at(block + name + ".weight"), 0.02);
        EXPECT_EQ(all.at(block + name + ".bias").largest, 0);
    }
    expect_moments(all.at(block + "attn.relative_position_bias_table"), 0.02);
    EXPECT_GT(all.at(block + "attn.qkv.weight").largest, 0.06) << "a normal has tails, a uniform one ends at 0.035";
    EXPECT_LT(all.at(block + "attn.qkv.weight").largest, 0.14);
}

TEST(Initialize, ConvolutionsAreUniformWithinTheirBound) {
    auto all = moments(1);
    const auto expect = [&](const std::string& name, int fan_in) {
        SCOPED_TRACE(name);
        const double bound = 1 / std::sqrt(fan_in);
        const Moments &weight = all.at(name + ".weight"), &bias = all.at(name + ".bias");
        expect_moments(weight, bound / std::sqrt(3));
        EXPECT_LE(weight.largest, bound * (1 + 1e-6));
        EXPECT_GT(weight.largest, 0.97 * bound);
        expect_moments(bias, bound / std::sqrt(3));
        EXPECT_LE(bias.largest, bound * (1 + 1e-6));
        EXPECT_GT(bias.largest, 0.5 * bound);
    };
    expect("conv_first", 27);
    expect("conv_before_upsample", 48 * 9);
    expect("patch_align.forward_2.conv_after_body", 48 * 9);
}

TEST(Initialize, NormsAreOneAndZero) {
    auto all = moments(1);
    for (const auto& name : {block + "norm1", block + "norm2", std::string("patch_align.backward_1.norm")}) {
        EXPECT_NEAR(all.at(name + ".weight").mean, 1, 1e-12) << name;
        EXPECT_EQ(all.at(name + ".weight").largest, 1) << name;
        EXPECT_EQ(all.at(name + ".bias").largest, 0) << name;
    }
}

TEST(Initialize, BuffersStay) {
    EXPECT_NEAR(moments(1).at("spynet.mean").largest, 0.485, 1e-6);  // ImageNet's red
}

TEST(Initialize, OneSeedGivesTheSameBytes) {
    Cpu cpu;
    Network<Model> a(cpu), b(cpu), c(cpu);
    initialize(*a, 7);
    initialize(*b, 7);
    initialize(*c, 8);
    const auto bytes = std::size_t(a.flat().size()) * sizeof(float);
    EXPECT_EQ(std::memcmp(a.flat().data, b.flat().data, bytes), 0);
    EXPECT_NE(std::memcmp(a.flat().data, c.flat().data, bytes), 0);
}

TEST(Initialize, NoTwoParametersAreAlike) {
    Cpu cpu;
    Network<Model> network(cpu);
    initialize(*network, 1);
    std::map<float, std::string> firsts;
    for_each_parameter(*network, [&](const std::string& name, const auto& p) {
        if (!p.is_trained || p.data[0] == 0 || p.data[0] == 1) return;
        const auto [at, is_new] = firsts.emplace(p.data[0], name);
        EXPECT_TRUE(is_new) << name << " begins as " << at->second;
    });
}

TEST(Initialize, MasksBeginAsByHand) {
    Cpu cpu;
    Network<Model> network(cpu);
    initialize(*network, 1);
    initialize_masks(*network, 0.25);
    int masks = 0;
    for_each_module(*network, [&](const std::string&, auto& module) {
        if constexpr (requires {
                          module.weight();
                          module.bias();
                          module.threshold();
                      }) {
            ++masks;
            const auto weight = module.weight()[0];
            const int C = weight.extent(0);
            const auto logit = [&](float change) {
                float sum = module.bias()[0];
                for (int c = 0; c < C; ++c) sum += change * weight[c];
                return sum;
            };
            EXPECT_FLOAT_EQ(logit(0), -3);
            EXPECT_NEAR(logit(0.25f), 0, 1e-5);
            EXPECT_NEAR(logit(0.5f), 3, 1e-5);
        }
    });
    EXPECT_GT(masks, 0);
    EXPECT_THAT([&] { initialize_masks(*network, 0); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("a threshold of 0 was given")));
}

struct Gain {
    Parameter<Cpu, 2, 3, 4> gain;
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("gain", self.gain);
    }
};
struct BiasFirst {
    Parameter<Cpu, 4> bias;
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("bias", self.bias);
    }
};

TEST(Initialize, WhatItDoesNotKnowIsAnError) {
    Cpu cpu;
    Network<Gain> gain(cpu);
    EXPECT_THAT([&] { initialize(*gain, 1); }, testing::ThrowsMessage<Error>(testing::HasSubstr("gain has 3 axes")));
    Network<BiasFirst> bias(cpu);
    EXPECT_THAT([&] { initialize(*bias, 1); },
                testing::ThrowsMessage<Error>(testing::HasSubstr("bias follows no weight")));
}

}  // namespace
}  // namespace mia
