#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/tensor.hpp"
#include "reference/numbers.hpp"
#include "support/golden.hpp"

namespace mia::test {

/// A picture (H, W, 3) in [0, 1] of values 0 ... 255.
inline Tensor<float, 3> picture_of(const Numbers& values, int H, int W) {
    Tensor<float, 3> picture(H, W, 3);
    for (std::size_t i = 0; i < values.size(); ++i) picture.data()[i] = float(values[i] / 255);
    return picture;
}

/// A picture of the golden file bicubic.
inline Tensor<float, 3> golden_picture(const std::string& name) {
    const Golden golden("bicubic");
    const TensorEntry* entry = golden.file().find(name);
    if (!entry) throw Error("golden bicubic has no " + name);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(entry->data);
    return picture_of(Numbers(bytes, bytes + entry->size()), int(entry->shape[0]), int(entry->shape[1]));
}

/// f(a, b, border, expected) for each pair of the golden file image_u8, pictures in [0, 1]; expected: PSNR-RGB, PSNR-Y,
/// SSIM-RGB, SSIM-Y by the official code.
template <class F>
void each_official_pair(F f) {
    const Golden golden("image_u8");
    for (const std::string pair : {"pair1", "pair2"}) {
        auto a = channels_last(golden(pair + ".a")), b = channels_last(golden(pair + ".b"));
        for (auto* picture : {&a, &b})
            for (std::ptrdiff_t i = 0; i < picture->size(); ++i) picture->data()[i] /= 255.f;
        const auto expected = golden(pair + ".metrics").data;
        for (const int border : {0, 2}) {
            SCOPED_TRACE(pair);
            f(a.view(), b.view(), border, expected.data() + (border == 0 ? 0 : 4));
        }
    }
}

/// What an 8-bit picture might hold: 0 ... 255 each equally often.
inline Numbers eight_bit_numbers(Random& random, std::ptrdiff_t count) {
    Numbers values = random.numbers(count, 0, 256);
    for (double& v : values) v = std::floor(v);
    return values;
}

/// a, disturbed by up to 20 codes.
inline Numbers disturbed(Random& random, const Numbers& a) {
    Numbers b = a;
    for (double& v : b) v = std::min(255., std::max(0., std::floor(v + random.number(-20, 21))));
    return b;
}

/// The plane of one colour.
inline Numbers color_of(const Numbers& rgb, int c) {
    Numbers plane(rgb.size() / 3);
    for (std::size_t i = 0; i < plane.size(); ++i) plane[i] = rgb[3 * i + std::size_t(c)];
    return plane;
}

}  // namespace mia::test
