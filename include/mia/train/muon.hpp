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
    MIA_HOST_DEVICE std::ptrdiff_t size() const { return std::ptrdiff_t(rows) * columns; }
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

/// What a step of Muon reads and changes: flat buffers.
template <class T>
struct MuonStep {
    T keep, rest;  ///< momentum, 1 - momentum
    double rate;   ///< learning rate times update_rms
    const T* gradients;
    T *m, *parameters;
    std::ptrdiff_t size;  ///< of each buffer
};

}  // namespace detail

template <class T>
void muon_step(BasicCpu<T>& cpu, View<const WeightMatrix, 1> matrices, const detail::MuonStep<T>& step) {
    cpu.parallel_for(matrices.size(), 1, [&](std::ptrdiff_t begin, std::ptrdiff_t end, int) {
        for (auto at = begin; at < end; ++at) {
            const WeightMatrix& matrix = matrices[at];
            const T* g = step.gradients + matrix.begin;
            T *p = step.parameters + matrix.begin, *m = step.m + matrix.begin;
            std::vector<T> direction(std::size_t(matrix.size()));
            for (std::ptrdiff_t i = 0; i < matrix.size(); ++i) {
                m[i] = step.keep * m[i] + step.rest * g[i];
                direction[std::size_t(i)] = step.keep * m[i] + step.rest * g[i];
            }
            direction = detail::orthogonalized(std::move(direction), matrix.rows, matrix.columns);
            const T scale = T(step.rate * std::sqrt(double(std::max(matrix.rows, matrix.columns))));
            for (std::ptrdiff_t i = 0; i < matrix.size(); ++i) p[i] -= scale * direction[std::size_t(i)];
        }
    });
}

/// Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) for weight matrices, and Adam
/// for all the rest:
///   m = momentum m + (1 - momentum) g,  p -= learning_rate * s * orthogonalized(momentum m + (1 - momentum) g)
/// with s = update_rms sqrt(max(rows, columns)), so that one learning rate suits both (Liu et al., "Muon is scalable
/// for LLM training", 2025, section 2.2). Without matrices it is Adam. m lies where Adam's first moment would.
template <class T, class B = BasicCpu<T>>
class Muon {
public:
    /// Matrices: in order, none over another.
    Muon(std::ptrdiff_t parameters, const std::vector<WeightMatrix>& matrices,
         MuonConfig config = {}) requires(B::memory_is_host)
        : config_(config),
          matrices_(int(matrices.size())),
          others_(rest_of(parameters, matrices)),
          adam_(parameters, config.adam) {
        std::copy(matrices.begin(), matrices.end(), matrices_.data());
    }
    Muon(B& backend, std::ptrdiff_t parameters, const std::vector<WeightMatrix>& matrices, MuonConfig config = {})
        : config_(config), others_(rest_of(parameters, matrices)), adam_(backend, parameters, config.adam) {
        const int count = int(matrices.size());
        matrices_.resize(backend, count);
        upload(backend, View<const WeightMatrix, 1>{matrices.data(), {count}}, matrices_.view());
        synchronize(backend);
    }

    /// Changes the parameters; prepare() the model afterwards.
    void step(B& backend, View<T, 1> parameters, View<const T, 1> gradients, double learning_rate) {
        adam_.step(backend, parameters, gradients, learning_rate, others_);
        muon_step(backend, matrices_.view(),
                  detail::MuonStep<T>{.keep = T(config_.momentum),
                                      .rest = T(1 - config_.momentum),
                                      .rate = learning_rate * config_.update_rms,
                                      .gradients = gradients.data,
                                      .m = first_moment().data,
                                      .parameters = parameters.data,
                                      .size = parameters.size()});
    }

    const MuonConfig& config() const { return config_; }
    /// To go on from a saved run: its steps and its two moments.
    void set_steps(std::int64_t steps) { adam_.set_steps(steps); }
    View<T, 1> first_moment() { return adam_.first_moment(); }
    View<T, 1> second_moment() { return adam_.second_moment(); }

private:
    /// What lies between the matrices.
    static std::vector<ParameterRange> rest_of(std::ptrdiff_t parameters, const std::vector<WeightMatrix>& matrices) {
        std::vector<ParameterRange> rest;
        std::ptrdiff_t end = 0;
        for (const WeightMatrix& matrix : matrices) {
            require(matrix.begin >= end && matrix.rows > 0 && matrix.columns > 0, "Muon: a matrix of ", matrix.rows,
                    " x ", matrix.columns, " begins at ", matrix.begin, ", and the one before it ends at ", end,
                    ". List them in order, none over another.");
            if (matrix.begin > end) rest.push_back({end, matrix.begin});
            end = matrix.begin + matrix.size();
        }
        require(end <= parameters, "Muon: a matrix ends at ", end, " of ", parameters, " parameters.");
        if (parameters > end) rest.push_back({end, parameters});
        return rest;
    }

    MuonConfig config_;
    Tensor<WeightMatrix, 1, B> matrices_;
    std::vector<ParameterRange> others_;
    Adam<T, B> adam_;
};

}  // namespace mia
