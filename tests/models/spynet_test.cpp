#include "mia/models/spynet.hpp"

#include "mia/io/load_parameters.hpp"
#include "reference/numbers.hpp"
#include "support/golden.hpp"

namespace mia {
namespace {

constexpr double flow_rounding = 3.1e-5;  // ten times what an independent float implementation reaches

template <class T>
void run_golden(int threads) {
    const test::Golden golden("ops_spynet"), weights("e2e_weights");
    BasicCpu<T> cpu(threads, ScratchFill::nan);
    Network<SpyNet<SpyNetConfig{}, BasicCpu<T>>, BasicCpu<T>> spynet(cpu);
    load_parameters(*spynet, weights.file(), {.prefix = "spynet."});
    prepare(cpu, *spynet);
    test::Errors errors(std::is_same_v<T, float> ? "ops_spynet" : "ops_spynet in double");
    for (const std::string size : {"64x64", "72x100"}) {
        const auto ref = test::channels_last<T>(golden(size + ".ref")),
                   supp = test::channels_last<T>(golden(size + ".supp"));
        Tensor<float, 3> flow(ref.extent(0), ref.extent(1), 2);
        int levels = 0;
        spynet->forward(cpu, ref.view(), supp.view(), flow.view(), [&](int level, View<const T, 3> result) {
            EXPECT_EQ(level, levels++);
            errors.compare_image<T>(text(size, ".level", level), result, golden(text(size, ".level", level)),
                                    flow_rounding);
        });
        EXPECT_EQ(levels, 6);
        errors.compare_image<float>(size + ".flow", flow.view(), golden(size + ".flow"), flow_rounding);
    }
}

TEST(SpyNetGolden, LevelsAndFlow) { run_golden<float>(2); }
TEST(SpyNetGolden, InDouble) { run_golden<double>(1); }

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

}  // namespace
}  // namespace mia
