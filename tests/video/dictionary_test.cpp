#include "mia/video/dictionary.hpp"

#include <gtest/gtest.h>

#include <utility>

namespace mia::detail {
namespace {

TEST(Dictionary, HoldsTextsUntilTheyAreTaken) {
    Dictionary entries;
    EXPECT_EQ(entries.any_key(), nullptr);
    entries.set("crf", "16");
    entries.set("crf", "18");
    EXPECT_STREQ(entries.find("crf"), "18");
    EXPECT_EQ(entries.find("cr"), nullptr);
    Dictionary moved = std::move(entries);
    EXPECT_STREQ(moved.any_key(), "crf");
    av_dict_free(moved.address());
    EXPECT_EQ(moved.any_key(), nullptr);
}

}  // namespace
}  // namespace mia::detail
