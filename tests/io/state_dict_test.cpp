#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <mia/io/state_dict.hpp>
#include <string>
#include <vector>

#include "mia/core/bf16.hpp"

namespace mia {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

static_assert(size_of(DType::float64) == 8 && size_of(DType::bfloat16) == 2 && size_of(DType::boolean) == 1);

template <class Stored>
TensorEntry entry_of(const std::vector<Stored>& values, DType dtype, std::vector<std::int64_t> shape = {}) {
    if (shape.empty()) shape = {std::int64_t(values.size())};
    return {"layer.weight", dtype, std::move(shape), reinterpret_cast<const std::byte*>(values.data()),
            values.size() * sizeof(Stored)};
}

template <class T>
std::string copy_error(const TensorEntry& entry) {
    std::vector<T> out(entry.size());
    try {
        copy_as(entry, out.data(), "file.pth");
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

/// The value that the bits of a binary16 stand for, by its definition.
double half_value(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    return bits & 0x8000 ? -magnitude : magnitude;
}

TEST(StateDict, finds_by_name_and_keeps_the_order) {
    const std::vector<float> x{1, 2};
    std::vector<TensorEntry> entries;
    for (const char* name : {"b", "a", "", "c.d"}) {
        entries.push_back(entry_of(x, DType::float32));
        entries.back().name = name;
    }
    const StateDict dict("file", entries, {{"scale", "4"}}, nullptr);
    ASSERT_EQ(dict.entries().size(), 4u);
    for (const TensorEntry& entry : dict.entries()) EXPECT_EQ(dict.find(entry.name), &entry);
    EXPECT_EQ(dict.entries()[0].name, "b");
    EXPECT_EQ(dict.find("d"), nullptr);
    EXPECT_EQ(dict.find("c"), nullptr);
    EXPECT_EQ(dict.metadata().at("scale"), "4");
    EXPECT_EQ(dict.source(), "file");
    EXPECT_EQ(StateDict().find("a"), nullptr);
    const StateDict copy = dict;  // lookups must not lead into the original
    EXPECT_EQ(copy.find("a"), &copy.entries()[1]);
}

TEST(StateDict, refuses_a_name_that_occurs_twice) {
    const std::vector<float> x{1};
    try {
        StateDict("file", {entry_of(x, DType::float32), entry_of(x, DType::float32)}, {}, nullptr);
        FAIL() << "two tensors of one name were accepted";
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("file: the tensor 'layer.weight' occurs twice"));
    }
}

TEST(StateDict, owner_lives_as_long_as_a_copy) {
    auto owner = std::make_shared<int>(1);
    StateDict copy;
    {
        const StateDict dict("file", {}, {}, owner);
        copy = dict;
    }
    EXPECT_EQ(owner.use_count(), 2);
}

TEST(CopyAs, converts_every_half) {
    std::vector<std::uint16_t> bits;
    for (unsigned b = 0; b < 65536; ++b)
        if ((b >> 10 & 31) != 31) bits.push_back(std::uint16_t(b));
    std::vector<float> out(bits.size());
    copy_as_float(entry_of(bits, DType::float16), out.data());
    for (std::size_t i = 0; i < bits.size(); ++i) {
        ASSERT_EQ(double(out[i]), half_value(bits[i])) << "bits " << bits[i];
        ASSERT_EQ(std::signbit(out[i]), (bits[i] & 0x8000) != 0) << "bits " << bits[i];
    }
}

TEST(CopyAs, converts_bfloat16_and_double) {
    const std::vector<std::uint16_t> bits{0x3F80, 0xC000, 0x0000, 0x8000, 0x7F7F, 0x0001};
    std::vector<float> out(bits.size());
    copy_as_float(entry_of(bits, DType::bfloat16), out.data());
    EXPECT_EQ(out, (std::vector<float>{1, -2, 0, -0.0f, 0x1.FEp127f, 0x1p-133f}));

    const std::vector<double> doubles{0.1, -1e-60, 0x1.FFFFFEp127, -3};
    std::vector<float> floats(4);
    copy_as_float(entry_of(doubles, DType::float64), floats.data());
    EXPECT_EQ(floats, (std::vector<float>{0.1f, -0.0f, std::numeric_limits<float>::max(), -3}));
    std::vector<double> same(4);
    copy_as<double>(entry_of(doubles, DType::float64), same.data());
    EXPECT_EQ(same, doubles);
    const std::vector<float> singles{0.1f, std::numeric_limits<float>::denorm_min()};
    std::vector<double> wide(2);
    copy_as<double>(entry_of(singles, DType::float32), wide.data());
    EXPECT_EQ(wide, (std::vector<double>{double(0.1f), 0x1p-149}));
}

TEST(CopyAs, rounds_to_bf16) {
    const std::vector<float> singles{1, -2, 1.00390625f, 1.01171875f, 0x1.FEp127f};
    std::vector<Bf16> out(singles.size());
    copy_as(entry_of(singles, DType::float32), out.data());
    EXPECT_EQ(std::vector<float>(out.begin(), out.end()), (std::vector<float>{1, -2, 1, 1.015625f, 0x1.FEp127f}));
    EXPECT_THAT(copy_error<Bf16>(entry_of(std::vector<float>{0, 0x1.FFp127f}, DType::float32)),
                HasSubstr("overflows bfloat16"));
}

TEST(CopyAs, reads_unaligned_data) {
    std::vector<std::byte> bytes(1 + 3 * sizeof(float));
    const float values[] = {1.5f, -2, 1e30f};
    std::memcpy(bytes.data() + 1, values, sizeof values);
    const TensorEntry entry{"x", DType::float32, {3}, bytes.data() + 1, sizeof values};
    float out[3];
    copy_as_float(entry, out);
    EXPECT_EQ(std::memcmp(out, values, sizeof values), 0);
}

TEST(CopyAs, refuses_what_is_not_finite) {
    std::vector<float> values(24, 1.0f);
    values[17] = std::numeric_limits<float>::quiet_NaN();
    values[20] = std::numeric_limits<float>::infinity();
    EXPECT_THAT(
        copy_error<float>(entry_of(values, DType::float32, {2, 3, 4})),
        AllOf(HasSubstr("file.pth: tensor 'layer.weight' (float32 (2, 3, 4)) holds nan at (1, 1, 1), element 17"),
              HasSubstr("\n")));
    values[17] = -std::numeric_limits<float>::infinity();
    EXPECT_THAT(copy_error<double>(entry_of(values, DType::float32)), HasSubstr("-inf at (17), element 17"));
    for (std::uint16_t bad : {0x7C00, 0xFC00, 0x7C01, 0x7E00})
        EXPECT_THAT(copy_error<float>(entry_of(std::vector<std::uint16_t>{0, bad}, DType::float16)),
                    HasSubstr("element 1"));
    for (std::uint16_t bad : {0x7F80, 0xFF80, 0x7F81, 0xFFC0})
        EXPECT_THAT(copy_error<float>(entry_of(std::vector<std::uint16_t>{0, bad}, DType::bfloat16)),
                    HasSubstr("element 1"));
    EXPECT_THAT(copy_error<double>(entry_of(std::vector<double>{std::nan("")}, DType::float64)), HasSubstr("nan"));
}

TEST(CopyAs, refuses_what_overflows_float) {
    const std::vector<double> values{0, 1e39};
    EXPECT_THAT(copy_error<float>(entry_of(values, DType::float64)), HasSubstr("holds 1e+39 at (1), element 1, which "
                                                                               "overflows float32"));
    EXPECT_EQ(copy_error<double>(entry_of(values, DType::float64)), "");
}

TEST(CopyAs, refuses_integers_by_name) {
    const std::vector<std::int64_t> values{1, 2};
    EXPECT_THAT(copy_error<float>(entry_of(values, DType::int64)),
                AllOf(HasSubstr("'layer.weight'"), HasSubstr("int64")));
    for (DType dtype : {DType::int32, DType::int16, DType::int8, DType::uint8, DType::boolean})
        EXPECT_THAT(copy_error<float>(entry_of(values, dtype)), HasSubstr(name_of(dtype)));
}

TEST(CopyAs, copies_nothing_from_an_empty_tensor) {
    copy_as_float({"x", DType::float32, {0, 3}, nullptr, 0}, nullptr);
    EXPECT_EQ(shape_text(std::vector<std::int64_t>{360, 120}), "(360, 120)");
    EXPECT_EQ(shape_text(std::vector<std::int64_t>{}), "()");
}

}  // namespace
}  // namespace mia
