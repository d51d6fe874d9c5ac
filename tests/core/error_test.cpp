#include "mia/core/error.hpp"

#include <gtest/gtest.h>

namespace mia {
namespace {

static_assert(std::is_base_of_v<std::runtime_error, Error>);

TEST(Error, JoinsItsParts) {
    EXPECT_EQ(text("3 needed, found ", 4, " of ", 2.5), "3 needed, found 4 of 2.5");
    EXPECT_NO_THROW(require(true, "no"));
    try {
        require(false, "at ", 7);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "at 7");
    }
}

}  // namespace
}  // namespace mia
