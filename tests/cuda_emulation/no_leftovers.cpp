/// Linked into every program of emulated tests: at its end nothing may be left over.
#include <gtest/gtest.h>

#include "cuda_runtime.h"

namespace {
class NoLeftovers : public testing::Environment {
    void TearDown() override { EXPECT_EQ(cuda_emulation::leftovers(), ""); }
};
const testing::Environment* const no_leftovers = testing::AddGlobalTestEnvironment(new NoLeftovers);
}  // namespace
