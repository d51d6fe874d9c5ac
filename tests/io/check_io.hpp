#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <mia/io/state_dict.hpp>
#include <span>
#include <string>
#include <string_view>

namespace mia::testing {

inline std::string fixture(const std::string& name) { return MIA_TEST_FIXTURES "/" + name; }

/// The message of the Error that `f()` throws; empty if it throws none. Each message must have its parts: a first line
/// that starts with the source and a last line that says how to mend it.
template <class F>
std::string error_of(F f) {
    try {
        f();
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find(": "), std::string::npos) << message;
        const std::size_t line = message.rfind('\n');
        EXPECT_TRUE(line != std::string::npos && message.size() - line > 10) << "no remedy: " << message;
        EXPECT_TRUE(message.ends_with('.')) << message;
        return message;
    }
    return "";
}

/// Same names, types, shapes and bytes, in the same order.
inline void expect_equal(const StateDict& found, const StateDict& expected) {
    ASSERT_EQ(found.entries().size(), expected.entries().size());
    for (std::size_t i = 0; i < found.entries().size(); ++i) {
        const TensorEntry &a = found.entries()[i], &b = expected.entries()[i];
        EXPECT_EQ(a.name, b.name);
        EXPECT_EQ(a.dtype, b.dtype) << a.name;
        EXPECT_EQ(a.shape, b.shape) << a.name;
        EXPECT_TRUE(std::ranges::equal(std::span(a.data, a.bytes), std::span(b.data, b.bytes))) << a.name;
    }
}

}  // namespace mia::testing
