#pragma once
#include <gtest/gtest.h>

#include <initializer_list>

#include "mia/core/cpu.hpp"
#include "mia/core/tensor.hpp"
#include "mia/visual/colors.hpp"

namespace mia::test {

inline Tensor<float, 3> plain(int height, int width, const Rgb& color) {
    Tensor<float, 3> picture(height, width, 3);
    fill(picture.view(), color);
    return picture;
}

inline Tensor<float, 3> values(int height, int width, int channels, std::initializer_list<float> list) {
    Tensor<float, 3> all(height, width, channels);
    EXPECT_EQ(all.size(), std::ptrdiff_t(list.size()));
    std::copy(list.begin(), list.end(), all.data());
    return all;
}

inline void expect_color(const Rgb& actual, const Rgb& expected, const char* what) {
    for (std::size_t c = 0; c < 3; ++c) EXPECT_NEAR(actual[c], expected[c], 1e-5) << what << ", colour " << c;
}

}  // namespace mia::test
