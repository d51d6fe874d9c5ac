#include "mia/video/sha256.hpp"

#include <gtest/gtest.h>

namespace mia {
namespace {

// FIPS 180-2, appendix B.
TEST(Sha256, KnownAnswers) {
    Sha256 hash;
    EXPECT_EQ(hash.take(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    hash.update("abc");
    EXPECT_EQ(hash.take(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash.update("a");  // begins anew, and takes pieces
    hash.update("bc");
    EXPECT_EQ(hash.take(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, KnowsItsOwnForm) {
    EXPECT_TRUE(Sha256::is_hex(Sha256().take()));
    EXPECT_FALSE(Sha256::is_hex(""));
    EXPECT_FALSE(Sha256::is_hex(std::string(63, 'a')));
    EXPECT_FALSE(Sha256::is_hex(std::string(63, 'a') + "G"));
}

}  // namespace
}  // namespace mia
