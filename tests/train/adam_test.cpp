#include "mia/train/adam.hpp"

#include "reference/numbers.hpp"

namespace mia {
namespace {

/// The textbook's form, in double.
struct NaiveAdam {
    test::Numbers m, v;
    int t = 0;
    void step(test::Numbers& p, const test::Numbers& g, double rate, const AdamConfig& c) {
        m.resize(p.size());
        v.resize(p.size());
        ++t;
        for (std::size_t i = 0; i < p.size(); ++i) {
            m[i] = c.beta1 * m[i] + (1 - c.beta1) * g[i];
            v[i] = c.beta2 * v[i] + (1 - c.beta2) * g[i] * g[i];
            const double m_hat = m[i] / (1 - std::pow(c.beta1, t)), v_hat = v[i] / (1 - std::pow(c.beta2, t));
            p[i] -= rate * c.weight_decay * p[i] + rate * m_hat / (std::sqrt(v_hat) + c.eps);
        }
    }
};

template <class T>
void against_naive(const AdamConfig& config, double bound) {
    const int n = 20001;  // more than one piece
    test::Random random(1);
    test::Numbers expected = random.numbers(n);
    auto p = test::cast<T>(expected);
    BasicCpu<T> cpu(3);
    Adam<T> adam(n, config);
    NaiveAdam naive;
    for (int t = 0; t < 7; ++t) {
        const auto gradient = random.numbers(n, -1e-3, 2e-3);
        const auto g = test::cast<T>(gradient);
        adam.step(cpu, {p.data(), {n}}, {g.data(), {n}}, 0.01 / (t + 1));
        naive.step(expected, gradient, 0.01 / (t + 1), config);
    }
    EXPECT_EQ(adam.steps(), 7);
    test::expect_near(p, expected, bound, "parameters");
}

TEST(Adam, AgainstTheTextbook) {
    against_naive<double>({}, 1e-14);
    against_naive<float>({}, 1e-6);
    against_naive<double>({.beta1 = 0.5, .beta2 = 0.999, .eps = 1e-3, .weight_decay = 0.1}, 1e-14);
}

TEST(Adam, ItsFirstStepIsTheLearningRate) {
    Cpu cpu;
    Adam<float> adam(2);
    std::vector<float> p{1, 1}, g{1e-4f, -30};
    adam.step(cpu, {p.data(), {2}}, {g.data(), {2}}, 0.125);
    EXPECT_NEAR(p[0], 0.875f, 2e-5f);
    EXPECT_FLOAT_EQ(p[1], 1.125f);
}

TEST(Adam, AnUntouchedParameterStays) {
    Cpu cpu;
    Adam<float> adam(1);
    float p = 3, g = 0;
    for (int i = 0; i < 5; ++i) adam.step(cpu, {&p, {1}}, {&g, {1}}, 1);
    EXPECT_EQ(p, 3);
}

TEST(ClipNorm, ScalesLongGradientsOnly) {
    Cpu cpu;
    std::vector<float> g{3, 4};
    const View<float, 1> view{g.data(), {2}};
    EXPECT_DOUBLE_EQ(clip_norm(cpu, view, 6.0), 5);
    EXPECT_EQ(g[0], 3);
    EXPECT_DOUBLE_EQ(clip_norm(cpu, view, 2.5), 5);
    EXPECT_FLOAT_EQ(g[0], 1.5f);
    EXPECT_FLOAT_EQ(g[1], 2);
    g[0] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(clip_norm(cpu, view, 1.0), std::numeric_limits<double>::infinity());
    EXPECT_FLOAT_EQ(g[1], 2) << "nothing is scaled";
    EXPECT_THROW(clip_norm(cpu, view, 0.0), Error);
}

TEST(MovingAverage, ClosedForm) {
    Cpu cpu;
    float p = 1;
    MovingAverage<float> average({&p, {1}}, 0.75);
    EXPECT_EQ(average.parameters()(0), 1);
    p = 0;
    for (int i = 0; i < 3; ++i) average.update(cpu, {&p, {1}});
    EXPECT_FLOAT_EQ(average.parameters()(0), 0.421875f);  // 0.75^3
}

TEST(CosineSchedule, ClosedForm) {
    const CosineSchedule paper;
    EXPECT_DOUBLE_EQ(paper.at(1), 2e-4);
    EXPECT_DOUBLE_EQ(paper.at(300001), 1e-7 + (2e-4 - 1e-7) / 2);
    EXPECT_NEAR(paper.at(600000), 1e-7, 1e-14);
    EXPECT_EQ(paper.at(600001), 1e-7);
    const CosineSchedule warm{.learning_rate = 1, .least = 0, .iterations = 110, .warm_up = 10};
    EXPECT_DOUBLE_EQ(warm.at(1), 0.1);
    EXPECT_DOUBLE_EQ(warm.at(10), 1);
    EXPECT_DOUBLE_EQ(warm.at(11), 1);
    EXPECT_DOUBLE_EQ(warm.at(61), 0.5);
}

}  // namespace
}  // namespace mia
