#include "mia/models/spynet.hpp"

#include "mia/io/load_parameters.hpp"
#include "support/backends.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

constexpr double flow_rounding = 3.1e-5;  // ten times what an independent float implementation reaches

template <class B>
class SpyNetGolden : public testing::Test {};
TYPED_TEST_SUITE(SpyNetGolden, test::Backends);

TYPED_TEST(SpyNetGolden, LevelsAndFlow) {
    using B = TypeParam;
    using T = typename B::Scalar;
    const test::Golden golden("ops_spynet"), weights("e2e_weights");
    auto backend = test::make_backend<B>();
    Network<SpyNet<SpyNetConfig{}, B>, B> spynet(backend);
    load_parameters(backend, spynet, weights.file(), {.prefix = "spynet."});
    prepare(backend, *spynet);
    test::Errors errors(std::is_same_v<T, float> ? "ops_spynet" : "ops_spynet in double");
    for (const std::string size : {"64x64", "72x100"}) {
        const auto frame = [&](const char* name) {
            return test::place(backend, test::channels_last<T>(golden(size + name)));
        };
        const auto ref = frame(".ref"), supp = frame(".supp");
        const int H = ref.view().extent(0), W = ref.view().extent(1);
        test::Placed<B, float, 3> flow(backend, {H, W, 2});
        int levels = 0;
        spynet->forward(backend, ref.view(), supp.view(), flow.view(), [&](int level, View<const T, 3> result) {
            EXPECT_EQ(level, levels++);
            const auto values = test::values_of(backend, result);
            const View<const T, 3> on_host{values.data(), {result.extent(0), result.extent(1), 2}};
            errors.compare_image<T>(text(size, ".level", level), on_host, golden(text(size, ".level", level)),
                                    flow_rounding);
        });
        EXPECT_EQ(levels, 6);
        const auto result = flow.on_host();
        errors.compare_image<float>(size + ".flow", result.view(), golden(size + ".flow"), flow_rounding);
    }
}

template <class B>
class SpyNetBuffers : public testing::Test {};
TYPED_TEST_SUITE(SpyNetBuffers, test::Backends);
TYPED_TEST(SpyNetBuffers, AreThereBeforeAnythingIsLoaded) {
    using B = TypeParam;
    auto backend = test::make_backend<B>();
    Network<SpyNet<SpyNetConfig{.levels = 1, .kernel_size = 1, .channels = {{1}}}, B>, B> spynet(backend);
    const auto all = test::values_of(backend, spynet.flat());
    std::vector<float> expected(all.size() - 6);  // zero but for mean and std
    expected.insert(expected.end(), {0.485f, 0.456f, 0.406f, 0.229f, 0.224f, 0.225f});
    EXPECT_EQ(std::vector<float>(all.begin(), all.end()), expected);
    // What throws on the way leaves them as they are.
    EXPECT_THROW(spynet.on_host(backend,
                                [](auto& module) {
                                    for_each_parameter(module, [](const auto&, const auto& p) { p.data[0] = 7; });
                                    throw Error("stop");
                                }),
                 Error);
    if (!B::memory_is_host) {
        EXPECT_EQ(test::values_of(backend, spynet.flat()), all);
    }
}

#ifndef MIA_TEST_CUDA  // of Cpu alone

constexpr SpyNetConfig small{.levels = 3, .kernel_size = 3, .channels = {{5, 4, 0}}};

struct Small {
    Cpu cpu;
    Network<SpyNet<small>> spynet{cpu};
    explicit Small(int threads, double size) : cpu(threads, ScratchFill::nan) {
        test::Random random(3);
        for_each_parameter(*spynet, [&](const std::string&, auto&& p) {
            for (int i = 0; i < p.size && p.is_trained; ++i) p.data[i] = float(random.number(-size, size));
        });
        prepare(cpu, *spynet);
    }
    std::vector<float> flow(int H, int W) {
        test::Random random(H);
        const auto ref = test::cast<float>(random.numbers(H * W * 3, 0, 1)),
                   supp = test::cast<float>(random.numbers(H * W * 3, 0, 1));
        auto f = test::unwritten<float>(H * W * 2);
        spynet->forward(cpu, {ref.data(), {H, W, 3}}, {supp.data(), {H, W, 3}}, {f.data(), {H, W, 2}});
        return f;
    }
};

TEST(SpyNet, AVariantOfAnySize) {
    static_assert(SpyNet<small>::multiple == 4 && SpyNet<small>::least_size == 8);
    for (const int H : {8, 9, 13})
        for (const int W : {8, 11, 24}) {
            const auto flow = Small(1, 0.3).flow(H, W);
            for (const float f : flow) ASSERT_TRUE(std::isfinite(f));
            for (const int threads : {2, 3}) EXPECT_TRUE(test::same_bytes(Small(threads, 0.3).flow(H, W), flow));
        }
    // Without weights no level adds anything.
    EXPECT_EQ(Small(1, 0).flow(9, 11), std::vector<float>(9 * 11 * 2));
}

TEST(SpyNet, ParameterNamesAndBuffers) {
    Cpu cpu;
    Network<SpyNet<small>> spynet(cpu);
    std::string names;
    std::vector<float> buffers;
    for_each_parameter(std::as_const(*spynet), [&](const std::string& name, const auto& p) {
        names += name + " ";
        if (!p.is_trained) buffers.insert(buffers.end(), p.data, p.data + p.size);
    });
    EXPECT_EQ(names.substr(0, 99),
              "basic_module.0.basic_module.0.weight basic_module.0.basic_module.0.bias basic_module.0.basic_module");
    EXPECT_TRUE(names.ends_with("basic_module.2.basic_module.4.bias mean std "));
    EXPECT_EQ(buffers, (std::vector<float>{0.485f, 0.456f, 0.406f, 0.229f, 0.224f, 0.225f}));
}

#endif

}  // namespace
}  // namespace mia
