// Runs tests on a GPU. Where there is none it says why, and ends with 77, which CTest takes for "skipped".
#include <gtest/gtest.h>

#include <cstdio>

#include "mia/core/cuda.cuh"

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    if (const std::string missing = mia::missing_gpu(); !missing.empty()) {
        std::printf("not run: %s\n", missing.c_str());
        return 77;
    }
    return RUN_ALL_TESTS();
}
