#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "mia/core/module.hpp"
#include "mia/train/adam.hpp"

namespace mia {

struct MuonConfig {
    AdamConfig adam = {};     ///< for what is no matrix
    double momentum = 0.95;   ///< Nesterov's
    double update_rms = 0.2;  ///< root mean square of a matrix's step at learning rate 1, about Adam's
};

/// A weight that maps `columns` numbers to `rows`, row after row, from `begin` on in the flat buffer.
struct WeightMatrix {
    std::ptrdiff_t begin = 0;
    int rows = 0, columns = 0;
    std::ptrdiff_t size() const { return std::ptrdiff_t(rows) * columns; }
};

/// The trained weights of linear maps and convolutions (out, in * kernel), in the order of Network::flat(); q, k and v
/// of one projection are three.
template <class M>
std::vector<WeightMatrix> weight_matrices(const M& module) {
    std::vector<WeightMatrix> found;
    std::ptrdiff_t begin = 0;
    for_each_parameter(module, [&](const std::string& name, const auto& p) {
        const std::size_t rank = p.shape.size();
        if (p.is_trained && name.ends_with("weight") && (rank == 2 || rank == 4)) {
            const int parts = name.ends_with("qkv.weight") ? 3 : 1, rows = p.shape[0] / parts;
            for (int i = 0; i < parts; ++i)
                found.push_back({begin + i * (p.size / parts), rows, int(p.size / p.shape[0])});
        }
        begin += p.size;
    });
    return found;
}

namespace detail {

/// c = alpha a b + beta c, row after row; a (rows, inner), b (inner, columns).
template <class T>
void small_product(T alpha, const T* a, const T* b, int rows, int inner, int columns, T beta, T* c) {
    for (int i = 0; i < rows; ++i, a += inner, c += columns) {
        for (int j = 0; j < columns; ++j) c[j] *= beta;
        for (int k = 0; k < inner; ++k) {
            const T factor = alpha * a[k];
            for (int j = 0; j < columns; ++j) c[j] += factor * b[std::ptrdiff_t(k) * columns + j];
        }
    }
}

template <class T>
std::vector<T> transposed(const std::vector<T>& x, int rows, int columns) {
    std::vector<T> t(x.size());
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j)
            t[std::size_t(j) * std::size_t(rows) + std::size_t(i)] =
                x[std::size_t(i) * std::size_t(columns) + std::size_t(j)];
    return t;
}

/// Nearly the nearest matrix with orthonormal rows (or columns, of a tall one): x (rows, columns) with the same
/// singular vectors, and singular values of 0.7 to 1.2, by five of Newton and Schulz's iterations with Jordan's
/// coefficients. Singular values below about 1e-3 of the largest stay smaller; zeros stay zeros.
template <class T>
std::vector<T> orthogonalized(std::vector<T> x, int rows, int columns) {
    if (rows > columns) return transposed(orthogonalized(transposed(x, rows, columns), columns, rows), columns, rows);
    const T length = std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), T(0)));
    if (!(length > 0)) return x;
    for (T& number : x) number /= length;
    std::vector<T> squares(std::size_t(rows) * std::size_t(rows)), change(squares.size()), last;
    for (int i = 0; i < 5; ++i) {
        small_product(T(1), x.data(), transposed(x, rows, columns).data(), rows, columns, rows, T(0), squares.data());
        change = squares;
        small_product(T(2.0315), squares.data(), squares.data(), rows, rows, rows, T(-4.7750), change.data());
        last = x;
        small_product(T(1), change.data(), last.data(), rows, rows, columns, T(3.4445), x.data());
    }
    return x;
}

}  // namespace detail

/// Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) for weight matrices, and Adam
/// for all the rest:
///   m = momentum m + (1 - momentum) g,  p -= learning_rate * s * orthogonalized(momentum m + (1 - momentum) g)
/// with s = update_rms sqrt(max(rows, columns)), so that one learning rate suits both (Liu et al., "Muon is scalable
/// for LLM training", 2025, section 2.2). Without matrices it is Adam. m lies where Adam's first moment would.
template <class T>
class Muon {
public:
    /// Matrices: in order, none over another.
    Muon(std::ptrdiff_t parameters, std::vector<WeightMatrix> matrices, MuonConfig config = {})
        : config_(config), matrices_(std::move(matrices)), adam_(parameters, config.adam) {
        std::ptrdiff_t end = 0;
        for (const WeightMatrix& matrix : matrices_) {
            require(matrix.begin >= end && matrix.rows > 0 && matrix.columns > 0, "Muon: a matrix of ", matrix.rows,
                    " x ", matrix.columns, " begins at ", matrix.begin, ", and the one before it ends at ", end,
                    ". List them in order, none over another.");
            if (matrix.begin > end) others_.push_back({end, matrix.begin});
            end = matrix.begin + matrix.size();
        }
        require(end <= parameters, "Muon: a matrix ends at ", end, " of ", parameters, " parameters.");
        if (parameters > end) others_.push_back({end, parameters});
    }

    /// Changes the parameters; prepare() the model afterwards.
    void step(BasicCpu<T>& cpu, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate) {
        adam_.step(cpu, parameters, gradients, learning_rate, others_);
        cpu.parallel_for(std::ptrdiff_t(matrices_.size()), 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
            for (auto i = begin; i < end; ++i)
                step(matrices_[std::size_t(i)], parameters.data, gradients.data, learning_rate);
        });
    }

    const MuonConfig& config() const { return config_; }
    /// To go on from a saved run: its steps and its two moments.
    void set_steps(std::int64_t steps) { adam_.set_steps(steps); }
    View<T, 1> first_moment() { return adam_.first_moment(); }
    View<T, 1> second_moment() { return adam_.second_moment(); }

private:
    void step(const WeightMatrix& matrix, T* parameters, const T* gradients, double learning_rate) {
        T *p = parameters + matrix.begin, *m = first_moment().data + matrix.begin;
        const T* g = gradients + matrix.begin;
        const T keep = T(config_.momentum), rest = T(1 - config_.momentum);
        std::vector<T> direction(std::size_t(matrix.size()));
        for (std::ptrdiff_t i = 0; i < matrix.size(); ++i) {
            m[i] = keep * m[i] + rest * g[i];
            direction[std::size_t(i)] = keep * m[i] + rest * g[i];
        }
        direction = detail::orthogonalized(std::move(direction), matrix.rows, matrix.columns);
        const T scale =
            T(learning_rate * config_.update_rms * std::sqrt(double(std::max(matrix.rows, matrix.columns))));
        for (std::ptrdiff_t i = 0; i < matrix.size(); ++i) p[i] -= scale * direction[std::size_t(i)];
    }

    MuonConfig config_;
    std::vector<WeightMatrix> matrices_;
    std::vector<ParameterRange> others_;
    Adam<T> adam_;
};

}  // namespace mia
