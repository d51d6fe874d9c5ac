#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"

namespace mia {

/// Element types that a file of weights may hold. `boolean` takes one byte an element.
enum class DType { float32, float64, float16, bfloat16, int64, int32, int16, int8, uint8, boolean };

/// Bytes an element.
constexpr std::size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::float64:
        case DType::int64:
            return 8;
        case DType::float32:
        case DType::int32:
            return 4;
        case DType::float16:
        case DType::bfloat16:
        case DType::int16:
            return 2;
        case DType::int8:
        case DType::uint8:
        case DType::boolean:
            break;
    }
    return 1;
}

/// PyTorch's word for it: "float32", "bool", ...
constexpr const char* name_of(DType dtype) {
    switch (dtype) {
        case DType::float32:
            return "float32";
        case DType::float64:
            return "float64";
        case DType::float16:
            return "float16";
        case DType::bfloat16:
            return "bfloat16";
        case DType::int64:
            return "int64";
        case DType::int32:
            return "int32";
        case DType::int16:
            return "int16";
        case DType::int8:
            return "int8";
        case DType::uint8:
            return "uint8";
        case DType::boolean:
            break;
    }
    return "bool";
}

/// "(360, 120)", for messages; "()" for a scalar.
inline std::string shape_text(std::span<const std::int64_t> shape) {
    std::string s = "(";
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        if (axis > 0) s += ", ";
        s += std::to_string(shape[axis]);
    }
    s += ')';
    return s;
}
inline std::string shape_text(const std::vector<std::int64_t>& shape) { return shape_text(std::span(shape)); }

/// One tensor of a file, contiguous, the last axis fastest. `data` need not be aligned (copy_as reads it as it is) and
/// lives as long as the StateDict it came from, or any copy of that. `bytes` is the product of `shape` times
/// size_of(dtype); `shape` has no negative extent and at most StateDict::max_rank axes.
struct TensorEntry {
    std::string name;
    DType dtype = DType::float32;
    std::vector<std::int64_t> shape;
    const std::byte* data = nullptr;
    std::size_t bytes = 0;

    std::size_t size() const { return bytes / size_of(dtype); }  ///< number of elements
};

/// The tensors of one file of weights, by name. Copies are cheap and share the file's bytes.
class StateDict {
public:
    static constexpr std::size_t max_rank = 16;

    StateDict() = default;

    /// `entries` must hold their invariants (TensorEntry). `owner` keeps their bytes alive; null if the caller does.
    /// Error if a name occurs twice.
    StateDict(std::string source, std::vector<TensorEntry> entries, std::map<std::string, std::string> metadata,
              std::shared_ptr<const void> owner)
        : source_(std::move(source)),
          entries_(std::move(entries)),
          by_name_(entries_.size()),
          metadata_(std::move(metadata)),
          owner_(std::move(owner)) {
        std::iota(by_name_.begin(), by_name_.end(), std::size_t(0));
        std::sort(by_name_.begin(), by_name_.end(),
                  [&](std::size_t a, std::size_t b) { return entries_[a].name < entries_[b].name; });
        const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(), [&](std::size_t a, std::size_t b) {
            return entries_[a].name == entries_[b].name;
        });
        if (twice != by_name_.end())
            throw Error(text(source_, ": the tensor ", detail::printable(entries_[*twice].name),
                             " occurs twice, and which one is meant cannot be known\nWrite the file again with each "
                             "name once."));
    }

    /// The tensor of that name, or null.
    const TensorEntry* find(std::string_view name) const {
        const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                         [&](std::size_t i, std::string_view key) { return entries_[i].name < key; });
        return at != by_name_.end() && entries_[*at].name == name ? &entries_[*at] : nullptr;
    }

    /// All tensors in the file's order.
    const std::vector<TensorEntry>& entries() const { return entries_; }

    /// What the file says about itself (`__metadata__` of safetensors); empty for a .pth.
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

    /// The path, or whatever name the bytes were given: the start of every message about them.
    const std::string& source() const { return source_; }

private:
    std::string source_;
    std::vector<TensorEntry> entries_;
    std::vector<std::size_t> by_name_;  // indices into entries_, sorted by name
    std::map<std::string, std::string> metadata_;
    std::shared_ptr<const void> owner_;
};

namespace detail {

/// IEEE binary16, exactly; NaN stays NaN.
inline float half_to_float(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t(half & 0x8000u) << 16;
    const std::uint32_t exponent = (half >> 10) & 31u;
    const std::uint32_t fraction = half & 1023u;
    if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | fraction << 13);
    if (exponent == 0) {  // zero and subnormals: fraction * 2^-24
        const float magnitude = float(fraction) * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/// The upper half of a float.
inline float bfloat16_to_float(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

/// Index of the first element that `out` cannot hold as a finite number, or the size if there is none.
template <class Stored, class T, class Convert>
std::size_t convert_elements(const TensorEntry& entry, T* out, Convert convert) {
    const std::size_t n = entry.size();
    std::size_t bad = n;
    // No early exit: weights are nearly always finite, and a loop without one vectorises.
    for (std::size_t i = n; i-- > 0;) {
        const auto value = convert(load_le<Stored>(entry.data + i * sizeof(Stored)));
        // False for NaN too. Casting only what fits keeps the conversion defined.
        const bool fits = std::abs(value) <= std::numeric_limits<T>::max();
        out[i] = fits ? T(value) : T(0);
        if (!fits) bad = i;
    }
    return bad;
}

[[noreturn]] inline void refuse_value(const TensorEntry& entry, std::string_view source, std::size_t index,
                                      double value, const char* target) {
    std::vector<std::int64_t> position(entry.shape.size());
    std::size_t rest = index;
    for (std::size_t axis = entry.shape.size(); axis-- > 0;) {
        position[axis] = std::int64_t(rest % std::size_t(entry.shape[axis]));
        rest /= std::size_t(entry.shape[axis]);
    }
    const bool finite = std::isfinite(value);
    throw Error(text(source, source.empty() ? "" : ": ", "tensor ", printable(entry.name), " (", name_of(entry.dtype),
                     " ", shape_text(entry.shape), ") holds ", value, " at ", shape_text(position), ", element ", index,
                     finite ? ", which overflows " : ", which is not a finite ", finite ? target : "number",
                     finite ? "\nScale the weights down or save them again in float32."
                            : "\nOne such weight spoils every pixel: use a checkpoint from before the training "
                              "diverged, or download the file again."));
}

}  // namespace detail

/// Copies a tensor's elements to out[0 ... entry.size()), converting float16, bfloat16, float32 and float64. Error if
/// the tensor is of another type, or holds a NaN, an infinity or a value beyond the range of T (float, double, Bf16):
/// names tensor, position and value; `out` is then half written. `source` opens the message.
template <class T>
void copy_as(const TensorEntry& entry, T* out, std::string_view source = {}) {
    static_assert(std::numeric_limits<T>::is_specialized && !std::numeric_limits<T>::is_integer);
    std::size_t bad = entry.size();
    double value = 0;  // of the first refused element
    switch (entry.dtype) {
        case DType::float32:
            bad = detail::convert_elements<float>(entry, out, [](float x) { return x; });
            if (bad < entry.size()) value = detail::load_le<float>(entry.data + bad * sizeof(float));
            break;
        case DType::float64:
            bad = detail::convert_elements<double>(entry, out, [](double x) { return x; });
            if (bad < entry.size()) value = detail::load_le<double>(entry.data + bad * sizeof(double));
            break;
        case DType::float16:
            bad = detail::convert_elements<std::uint16_t>(entry, out, detail::half_to_float);
            if (bad < entry.size()) value = detail::half_to_float(detail::load_le<std::uint16_t>(entry.data + bad * 2));
            break;
        case DType::bfloat16:
            bad = detail::convert_elements<std::uint16_t>(entry, out, detail::bfloat16_to_float);
            if (bad < entry.size())
                value = detail::bfloat16_to_float(detail::load_le<std::uint16_t>(entry.data + bad * 2));
            break;
        default:
            throw Error(text(source, source.empty() ? "" : ": ", "tensor ", detail::printable(entry.name), " ",
                             shape_text(entry.shape), " holds ", name_of(entry.dtype),
                             ", and a weight must be float16, bfloat16, float32 or float64\nSave it as float32, or "
                             "check that the name is the one you mean."));
    }
    if (bad < entry.size())
        detail::refuse_value(entry, source, bad, value,
                             sizeof(T) == 2   ? "bfloat16"
                             : sizeof(T) == 4 ? "float32"
                                              : "float64");
}

/// copy_as<float>.
inline void copy_as_float(const TensorEntry& entry, float* out, std::string_view source = {}) {
    copy_as<float>(entry, out, source);
}

}  // namespace mia
