#include "mia/train/muon.hpp"

#include <gmock/gmock.h>

#include "mia/nn/window_attention.hpp"
#include "reference/numbers.hpp"

namespace mia {
namespace {

using test::Numbers;

/// Row-major, by hand: (rows, inner) times (inner, columns).
Numbers product(const Numbers& a, const Numbers& b, int rows, int inner, int columns) {
    Numbers c(std::size_t(rows) * std::size_t(columns));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j)
            for (int k = 0; k < inner; ++k)
                c[std::size_t(i * columns + j)] += a[std::size_t(i * inner + k)] * b[std::size_t(k * columns + j)];
    return c;
}
Numbers transposed(const Numbers& a, int rows, int columns) {
    Numbers t(a.size());
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) t[std::size_t(j * rows + i)] = a[std::size_t(i * columns + j)];
    return t;
}
Numbers naive_orthogonalized(Numbers x, int rows, int columns) {
    if (rows > columns)
        return transposed(naive_orthogonalized(transposed(x, rows, columns), columns, rows), columns, rows);
    double square = 0;
    for (const double v : x) square += v * v;
    for (double& v : x) v /= std::sqrt(square);
    for (int i = 0; i < 5; ++i) {
        const Numbers a = product(x, transposed(x, rows, columns), rows, columns, rows);
        const Numbers aa = product(a, a, rows, rows, rows);
        const Numbers ax = product(a, x, rows, rows, columns), aax = product(aa, x, rows, rows, columns);
        for (std::size_t k = 0; k < x.size(); ++k) x[k] = 3.4445 * x[k] - 4.7750 * ax[k] + 2.0315 * aax[k];
    }
    return x;
}

TEST(Muon, AMatrixIsMadeNearlyOrthogonal) {
    test::Random random(1);
    for (const auto& [rows, columns] : {std::pair(7, 20), std::pair(20, 7), std::pair(5, 5), std::pair(1, 9)}) {
        const Numbers x = random.numbers(rows * columns);
        const Numbers orthogonal = detail::orthogonalized(x, rows, columns);
        test::expect_near(orthogonal, naive_orthogonalized(x, rows, columns), 1e-12, "orthogonalized");
        const int least = std::min(rows, columns), most = std::max(rows, columns);
        const Numbers wide = rows > columns ? transposed(orthogonal, rows, columns) : orthogonal;
        for (int trial = 0; trial < 50; ++trial) {  // the singular values: how long a unit vector becomes
            const Numbers u = random.numbers(least), image = product(u, wide, 1, least, most);
            const auto square = [](const Numbers& v) { return product(v, v, 1, int(v.size()), 1).front(); };
            EXPECT_THAT(std::sqrt(square(image) / square(u)), testing::AllOf(testing::Gt(0.6), testing::Lt(1.25)))
                << rows << " x " << columns;
        }
    }
}

TEST(Muon, StepsOfMatricesAreNesterovsAndOrthogonalTheRestIsAdams) {
    // 3 numbers, a matrix, another right behind it, 2 numbers.
    const std::vector<WeightMatrix> matrices{{3, 4, 6}, {27, 8, 3}};
    const int n = 53;
    const MuonConfig config{.momentum = 0.9, .update_rms = 0.3};
    test::Random random(2);
    Numbers expected = random.numbers(n);
    auto p = expected, alone = expected;
    BasicCpu<double> cpu(3);
    Muon<double> muon(n, matrices, config);
    Adam<double> adam(n);
    Numbers momentum(n);
    for (int t = 0; t < 4; ++t) {
        const auto g = random.numbers(n);
        const double rate = 0.01 * (t + 1);
        muon.step(cpu, {p.data(), {n}}, {g.data(), {n}}, rate);
        adam.step(cpu, {alone.data(), {n}}, {g.data(), {n}}, rate);
        for (const WeightMatrix& m : matrices) {
            Numbers direction;
            for (auto k = m.begin; k < m.begin + m.size(); ++k) {
                double& kept = momentum[std::size_t(k)];
                kept = 0.9 * kept + 0.1 * g[std::size_t(k)];
                direction.push_back(0.9 * kept + 0.1 * g[std::size_t(k)]);
            }
            direction = naive_orthogonalized(direction, m.rows, m.columns);
            for (auto k = m.begin; k < m.begin + m.size(); ++k)
                expected[std::size_t(k)] -=
                    rate * 0.3 * std::sqrt(std::max(m.rows, m.columns)) * direction[std::size_t(k - m.begin)];
        }
    }
    for (const int k : {0, 1, 2, 51, 52}) expected[std::size_t(k)] = alone[std::size_t(k)];
    test::expect_near(p, expected, 1e-12, "parameters");
}

TEST(Muon, WithoutMatricesItIsAdam) {
    test::Random random(3);
    auto p = random.numbers(10), q = p;
    const auto g = random.numbers(10);
    BasicCpu<double> cpu;
    Muon<double>(10, {}, {.adam = {.beta1 = 0.5}}).step(cpu, {p.data(), {10}}, {g.data(), {10}}, 0.1);
    Adam<double>(10, {.beta1 = 0.5}).step(cpu, {q.data(), {10}}, {g.data(), {10}}, 0.1);
    EXPECT_EQ(p, q);
}

TEST(Muon, AZeroGradientLeavesAMatrixAsItIs) {
    std::vector<float> p{1, 2, 3, 4}, g(4);
    Cpu cpu;
    Muon<float>(4, {{0, 2, 2}}).step(cpu, {p.data(), {4}}, {g.data(), {4}}, 0.1);
    EXPECT_THAT(p, testing::ElementsAre(1, 2, 3, 4));
}

TEST(Muon, MatricesAreInOrderAndInside) {
    EXPECT_THROW(Muon<float>(10, {{0, 2, 2}, {3, 2, 2}}), Error);
    EXPECT_THROW(Muon<float>(10, {{8, 2, 2}}), Error);
}

TEST(WeightMatrices, AreTheWeightsOfLinearMapsWithQueryKeyAndValueApart) {
    const InterFrameAttention<AttentionConfig{.embed_dim = 8, .num_heads = 2, .window = {3, 4, 4}}> attention;
    std::vector<std::pair<int, int>> shapes;
    for (const WeightMatrix& matrix : weight_matrices(attention)) shapes.emplace_back(matrix.rows, matrix.columns);
    EXPECT_THAT(shapes, testing::ElementsAre(std::pair(8, 8), std::pair(8, 8), std::pair(8, 8), std::pair(8, 8)));
}

}  // namespace
}  // namespace mia
