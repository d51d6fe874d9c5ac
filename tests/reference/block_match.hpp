#pragma once
#include <cstdlib>
#include <tuple>

#include "reference/numbers.hpp"

namespace mia::reference {

using test::Numbers;

/// Integer luma of an RGB frame (H, W, 3).
inline std::vector<int> luma(const Numbers& frame) {
    std::vector<int> g(frame.size() / 3);
    const int weight[] = {77, 150, 29};
    for (std::size_t p = 0; p < g.size(); ++p) {
        int sum = 128;
        for (std::size_t c = 0; c < 3; ++c) {
            const double v = double(255.0f * float(std::clamp(frame[3 * p + c], 0.0, 1.0)));
            const double down = std::floor(v);
            const bool up = v - down > 0.5 || (v - down == 0.5 && int(down) % 2 == 1);
            sum += weight[c] * (int(down) + up);
        }
        g[p] = sum / 256;
    }
    return g;
}

/// The flow (H, W, 2), one vector a patch of 8 x 8: the smallest of (cost, length, dy, dx), in whole pixels or in
/// quarters.
inline Numbers block_match(const Numbers& ref, const Numbers& supp, int H, int W, bool in_quarters = false) {
    const auto a = luma(ref), b = luma(supp);
    const auto at = [&](const std::vector<int>& g, int y, int x) {
        return g[std::size_t(std::clamp(y, 0, H - 1) * W + std::clamp(x, 0, W - 1))];
    };
    Numbers flow(std::size_t(H) * W * 2);
    for (int top = 0; top < H; top += 8)
        for (int left = 0; left < W; left += 8) {
            const auto difference = [&](int dy, int dx) {
                int sum = 0;
                for (int y = top - 4; y < top + 12; ++y)
                    for (int x = left - 4; x < left + 12; ++x) sum += std::abs(at(a, y, x) - at(b, y + dy, x + dx));
                return sum;
            };
            std::tuple best{1 << 30, 0, 0, 0};
            for (int dx = -8; dx <= 8; ++dx)
                for (int dy = -8; dy <= 8; ++dy) {
                    const int cost = difference(dy, dx) + 4 * (std::abs(dx) + std::abs(dy));
                    best = std::min(best, {cost, dx * dx + dy * dy, dy, dx});
                }
            const int dy = std::get<2>(best), dx = std::get<3>(best);
            const auto fraction = [&](int at_winner, double before, double here, double after) {
                const double rise = std::max(before, after) - here;
                if (!in_quarters || std::abs(at_winner) == 8 || rise <= 0) return 0.;
                return std::clamp(std::round(2 * (before - after) / rise), -2., 2.) / 4;
            };
            const double here = difference(dy, dx);
            const double along_x = fraction(dx, difference(dy, dx - 1), here, difference(dy, dx + 1)),
                         along_y = fraction(dy, difference(dy - 1, dx), here, difference(dy + 1, dx));
            for (int y = top; y < std::min(top + 8, H); ++y)
                for (int x = left; x < std::min(left + 8, W); ++x) {
                    flow[(y * W + x) * 2] = dx + along_x;
                    flow[(y * W + x) * 2 + 1] = dy + along_y;
                }
        }
    return flow;
}

}  // namespace mia::reference
