#include "mia/core/view.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "mia/core/error.hpp"

namespace mia {
namespace {

static_assert(std::is_trivially_copyable_v<View<float, 3>>);
static_assert(std::is_convertible_v<View<float, 3>, View<const float, 3>>);
static_assert(!std::is_convertible_v<View<const float, 3>, View<float, 3>>);

TEST(View, RowMajorWithTheLastAxisFastest) {
    std::vector<int> numbers(2 * 3 * 4 * 5);
    std::iota(numbers.begin(), numbers.end(), 0);
    const View<int, 4> v{numbers.data(), {2, 3, 4, 5}};
    EXPECT_EQ(v.size(), 120);
    EXPECT_EQ(v(1, 2, 3, 4), 119);
    EXPECT_EQ(v(1, 0, 2, 3), 60 + 10 + 3);
    EXPECT_EQ(v[1](2, 3, 4), 119);
    EXPECT_EQ(v[1][2][3][4], 119);
    v[0][1][2][3] = -1;
    EXPECT_EQ(numbers[20 + 10 + 3], -1);
}

TEST(View, SliceReshapeRows) {
    std::vector<int> numbers(24);
    std::iota(numbers.begin(), numbers.end(), 0);
    const View<int, 3> v{numbers.data(), {4, 2, 3}};
    const auto part = v.slice(1, 2);
    EXPECT_EQ(part.extent(0), 2);
    EXPECT_EQ(part(0, 0, 0), 6);
    EXPECT_EQ(part(1, 1, 2), 17);
    const auto rows = rows_of(v);
    EXPECT_EQ(rows.extent(0), 8);
    EXPECT_EQ(rows.extent(1), 3);
    EXPECT_EQ(rows(7, 2), 23);
    const auto other = v.reshape(6, 4);
    EXPECT_EQ(other(5, 3), 23);
    const View<int, 3> empty{nullptr, {0, 2, 3}};
    EXPECT_EQ(empty.size(), 0);
    EXPECT_EQ(empty.slice(0, 0).data, nullptr);
    const View<int, 3> shape{nullptr, {4, 2, 3}};  // as the backend that counts has them
    EXPECT_EQ(shape[3].data, nullptr);
    EXPECT_EQ(shape.slice(1, 2).data, nullptr);
}

TEST(View, SizesBeyond32Bits) {
    const View<char, 3> v{nullptr, {3000, 2000, 1000}};
    EXPECT_EQ(v.size(), 6'000'000'000);
    std::vector<char> numbers(1);
    const View<char, 2> far{numbers.data(), {100000, 100000}};
    EXPECT_EQ(far[50000].data - numbers.data(), 5'000'000'000);
}

TEST(View, ShapesInMessagesAndComparisons) {
    const View<const float, 3> a{nullptr, {180, 320, 120}};
    const View<float, 3> b{nullptr, {180, 320, 120}}, c{nullptr, {180, 320, 3}};
    EXPECT_EQ(text(shape_text(a)), "(180, 320, 120)");
    EXPECT_EQ(text(shape_text(View<int, 1>{nullptr, {7}})), "(7)");
    EXPECT_TRUE(same_shape(a, b));
    EXPECT_FALSE(same_shape(a, c));
}

}  // namespace
}  // namespace mia
