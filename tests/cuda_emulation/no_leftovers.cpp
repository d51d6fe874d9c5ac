/// Linked into every program of emulated tests: at its end nothing may be left over. MIA_EMULATION_LAUNCHES names a
/// file for the sizes of all launches, from which tests/cuda/resources.awk derives the kernels' occupancy.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "cuda_runtime.h"

namespace {
class NoLeftovers : public testing::Environment {
    void TearDown() override {
        EXPECT_EQ(cuda_emulation::leftovers(), "");
        if (const char* path = std::getenv("MIA_EMULATION_LAUNCHES")) std::ofstream(path) << cuda_emulation::launches();
    }
};
const testing::Environment* const no_leftovers = testing::AddGlobalTestEnvironment(new NoLeftovers);
}  // namespace
