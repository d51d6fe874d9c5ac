#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/tensor.hpp"
#include "mia/io/safetensors.hpp"

namespace mia::test {

/// Floats with a shape, as they lie in a golden file (PyTorch's layouts).
struct Array {
    std::vector<int> shape;
    std::vector<float> data;
    int extent(int axis) const { return shape[std::size_t(axis)]; }
};

/// A golden file: tensors made with the official PyTorch implementation (tests/goldens/README.md).
class Golden {
public:
    explicit Golden(const std::string& name)
        : file_(read_safetensors(std::string(MIA_TEST_GOLDENS "/") + name + ".safetensors")) {}
    const StateDict& file() const { return file_; }
    bool has(const std::string& name) const { return file_.find(name) != nullptr; }
    Array operator()(const std::string& name) const {
        const TensorEntry* entry = file_.find(name);
        if (!entry) throw Error("golden " + file_.source() + " has no " + name);
        Array a{{entry->shape.begin(), entry->shape.end()}, std::vector<float>(entry->size())};
        if (entry->dtype == DType::float32) {
            std::memcpy(a.data.data(), entry->data, entry->bytes);  // infinities too (image_u8)
        } else {
            copy_as_float(*entry, a.data.data());
        }
        return a;
    }

private:
    StateDict file_;
};

/// The last three axes (C, H, W) of an array, entry `index` of all axes before, as (H, W, C).
template <class T = float>
Tensor<T, 3> channels_last(const Array& a, int index = 0) {
    const std::size_t rank = a.shape.size();
    const int C = a.shape[rank - 3], H = a.shape[rank - 2], W = a.shape[rank - 1];
    Tensor<T, 3> t(H, W, C);
    const float* from = a.data.data() + std::ptrdiff_t(index) * C * H * W;
    for (int c = 0; c < C; ++c)
        for (int y = 0; y < H; ++y)
            for (int x = 0; x < W; ++x) t.view()(y, x, c) = T(from[(std::ptrdiff_t(c) * H + y) * W + x]);
    return t;
}

/// The numbers of an array as they lie, under another shape.
template <class T, int Rank>
Tensor<T, Rank> as_tensor(const Array& a, const int (&shape)[Rank]) {
    Tensor<T, Rank> t = [&]<std::size_t... I>(std::index_sequence<I...>) { return Tensor<T, Rank>(shape[I]...); }
    (std::make_index_sequence<Rank>{});
    if (t.size() != std::ptrdiff_t(a.data.size())) throw Error("as_tensor: the shape does not fit");
    std::copy(a.data.begin(), a.data.end(), t.data());
    return t;
}

/// Compares against expected values: the largest error relative to the largest expected magnitude is printed and must
/// not exceed the bound. Names the worst place.
class Errors {
public:
    explicit Errors(std::string title) : title_(std::move(title)) {}
    ~Errors() {
        std::printf("[   ERROR  ] %-28s worst relative error %.1e (%s)\n", title_.c_str(), worst_, where_.c_str());
    }

    template <class T>
    void compare(const std::string& name, const T* actual, const std::vector<float>& expected, double bound) {
        double largest = 0, error = 0;
        std::size_t at = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            largest = std::max(largest, double(std::abs(expected[i])));
            const double e = std::abs(double(actual[i]) - double(expected[i]));
            if (!(e <= error)) {
                error = e;
                at = i;
            }
        }
        const double relative = largest > 0 ? error / largest : error;
        EXPECT_LE(relative, bound) << title_ << ": " << name << ": element " << at << " of " << expected.size()
                                   << " is " << actual[at] << ", expected " << expected[at] << "; largest magnitude "
                                   << largest;
        if (!(relative <= worst_)) {
            worst_ = relative;
            where_ = name;
        }
    }
    /// (H, W, C) against (C, H, W).
    template <class T>
    void compare_image(const std::string& name, View<const T, 3> actual, const Array& expected, double bound,
                       int index = 0) {
        const auto e = channels_last(expected, index);
        ASSERT_TRUE(same_shape(actual, e.view()))
            << name << ": " << shape_text(actual) << " against " << shape_text(e.view());
        compare(name, actual.data, {e.data(), e.data() + e.size()}, bound);
    }

private:
    std::string title_, where_ = "none";
    double worst_ = 0;
};

}  // namespace mia::test
