#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace mia::test {

/// A test with a folder of its own, empty at the beginning and gone at the end.
class FolderTest : public testing::Test {
protected:
    FolderTest() {
        const auto* info = testing::UnitTest::GetInstance()->current_test_info();
        folder =
            std::filesystem::path(testing::TempDir()) / (std::string(info->test_suite_name()) + "_" + info->name());
        std::filesystem::remove_all(folder);
        std::filesystem::create_directories(folder);
    }
    ~FolderTest() override { std::filesystem::remove_all(folder); }
    std::filesystem::path folder;
};

}  // namespace mia::test
