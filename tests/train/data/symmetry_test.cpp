#include "mia/train/data/symmetry.hpp"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "train/data/pictures.hpp"

namespace mia {
namespace {

TEST(Symmetry, FlipsThenTransposes) {
    test::Picture x(2, 3, 1), flipped(2, 3, 1), turned(3, 2, 1);
    x.values = {1, 2, 3, 4, 5, 6};
    apply_symmetry({.flip_x = true}, x.view, flipped.view);
    EXPECT_EQ(flipped.values, (std::vector<float>{3, 2, 1, 6, 5, 4}));
    apply_symmetry({.flip_y = true}, x.view, flipped.view);
    EXPECT_EQ(flipped.values, (std::vector<float>{4, 5, 6, 1, 2, 3}));
    apply_symmetry({.flip_x = true, .transpose = true}, x.view, turned.view);
    EXPECT_EQ(turned.values, (std::vector<float>{3, 6, 2, 5, 1, 4}));
    EXPECT_THROW(apply_symmetry({.transpose = true}, x.view, flipped.view), Error);
}

TEST(Symmetry, VectorsTurnAlong) {
    test::Picture x(1, 2, 2), flipped(1, 2, 2), turned(2, 1, 2);
    x.values = {1, 2, 3, 4};
    apply_symmetry_to_vectors({.flip_x = true}, x.view, flipped.view);
    EXPECT_EQ(flipped.values, (std::vector<float>{-3, 4, -1, 2}));
    apply_symmetry_to_vectors({.flip_y = true, .transpose = true}, x.view, turned.view);
    EXPECT_EQ(turned.values, (std::vector<float>{-2, 1, -4, 3}));
}

TEST(Symmetry, EightDifferentOnes) {
    std::set<std::vector<float>> seen;
    for (int n = 0; n < 8; ++n) {
        test::Picture x(2, 2, 1), y(2, 2, 1);
        x.values = {1, 2, 3, 4};
        apply_symmetry({(n & 1) != 0, (n & 2) != 0, (n & 4) != 0}, x.view, y.view);
        seen.insert(y.values);
    }
    EXPECT_EQ(seen.size(), 8u);
}

}  // namespace
}  // namespace mia
