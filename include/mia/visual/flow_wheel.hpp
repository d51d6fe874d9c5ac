#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/visual/colors.hpp"

namespace mia {
namespace detail {

/// The 55 hues of Baker et al.: six stretches from one corner of the RGB cube to the next, as long as the eye tells
/// hues apart there.
inline const std::array<Rgb, 55>& flow_hues() {
    static const std::array<Rgb, 55> hues = [] {
        constexpr Rgb corners[] = {{1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 1, 1}, {0, 0, 1}, {1, 0, 1}, {1, 0, 0}};
        constexpr int lengths[] = {15, 6, 4, 11, 13, 6};
        std::array<Rgb, 55> all{};
        std::size_t at = 0;
        for (int stretch = 0; stretch < 6; ++stretch)
            for (int i = 0; i < lengths[stretch]; ++i) {
                Rgb hue{};
                for (std::size_t c = 0; c < 3; ++c) {  // on 8-bit codes, as the original computes
                    const float from = corners[stretch][c], to = corners[stretch + 1][c];
                    const float step = std::floor(255.f * float(i) / float(lengths[stretch])) / 255.f;
                    hue[c] = from + (to - from) * step;
                }
                all[at++] = hue;
            }
        return all;
    }();
    return hues;
}

}  // namespace detail

/// The colour of a flow vector (u to the right, v down) whose length is a share of the largest one: white at 0, its
/// direction's full hue at 1, darkened beyond; black where it is not finite. The colour wheel of the Middlebury
/// benchmark: Baker, Scharstein, Lewis, Roth, Black, Szeliski, "A Database and Evaluation Methodology for Optical
/// Flow", 2011. Right is red, down yellow, left cyan blue, up violet.
inline Rgb flow_color(float u, float v) {
    if (!std::isfinite(u) || !std::isfinite(v)) return black;
    constexpr float pi = 3.14159265358979f;
    const auto& hues = detail::flow_hues();
    const float length = std::hypot(u, v), angle = std::atan2(-v, -u) / pi;
    const float position = (angle + 1) / 2 * float(hues.size() - 1);
    const auto first = std::min(std::size_t(position), hues.size() - 1);
    const Rgb hue = mix(hues[first], hues[(first + 1) % hues.size()], position - float(first));
    return length <= 1 ? mix(white, hue, length) : mix(black, hue, 0.75f);
}

/// Length in pixels that a share of the vectors does not exceed: 1 is the longest, 0.99 leaves outliers out. flow: (H,
/// W, 2); vectors that are not finite do not count; 0 when none is left.
inline float flow_length(View<const float, 3> flow, double share = 1) {
    require(flow.extent(2) == 2 && share >= 0 && share <= 1, "flow_length: the flow is ", shape_text(flow),
            " and the share ", share, ". Give (height, width, 2) and a share from 0 to 1.");
    std::vector<float> lengths;
    for (std::ptrdiff_t i = 0; i + 1 < flow.size(); i += 2) {
        const float length = std::hypot(flow.data[i], flow.data[i + 1]);
        if (std::isfinite(length)) lengths.push_back(length);
    }
    if (lengths.empty()) return 0;
    const auto at = lengths.begin() + std::ptrdiff_t(share * double(lengths.size() - 1));
    std::nth_element(lengths.begin(), at, lengths.end());
    return *at;
}

/// flow: (H', W', 2) in pixels -> picture: (H, W, 3), H <= H', W <= W': what exceeds the picture is a model's padding.
/// A vector of `full` pixels gets the full colour; `full` > 0, the same for pictures that are to be compared.
inline void draw_flow(View<const float, 3> flow, float full, View<float, 3> picture) {
    require(flow.extent(2) == 2 && picture.extent(2) == 3 && flow.extent(0) >= picture.extent(0) &&
                flow.extent(1) >= picture.extent(1),
            "draw_flow: the flow is ", shape_text(flow), ", the picture ", shape_text(picture),
            ". Give (height, width, 2) and a picture of that size or smaller, (height, width, 3).");
    require(full > 0, "draw_flow: a vector of ", full, " pixels was to have the full colour. Give more than 0.");
    for (int y = 0; y < picture.extent(0); ++y)
        for (int x = 0; x < picture.extent(1); ++x)
            set_pixel(picture, y, x, flow_color(flow(y, x, 0) / full, flow(y, x, 1) / full));
}

/// The wheel itself, for a legend: the vector at each place of a disc that touches the picture's nearer edges, its
/// longest at the rim; around it `outside`. picture: (H, W, 3).
inline void draw_flow_legend(View<float, 3> picture, const Rgb& outside = white) {
    const float height = float(picture.extent(0)), width = float(picture.extent(1));
    const float radius = std::min(height, width) / 2;
    for (int y = 0; y < picture.extent(0); ++y)
        for (int x = 0; x < picture.extent(1); ++x) {
            const float u = (float(x) + 0.5f - width / 2) / radius, v = (float(y) + 0.5f - height / 2) / radius;
            set_pixel(picture, y, x, std::hypot(u, v) <= 1 ? flow_color(u, v) : outside);
        }
}

}  // namespace mia
