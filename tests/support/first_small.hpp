#pragma once
#include "mia/models/mia_vsr.hpp"
#include "support/toy_parts.hpp"

namespace mia::test {

/// The first small model, trained with PyTorch: the goldens lite and lite_weights are its.
inline constexpr MiaVsrConfig first_small{.embed_dim = 32,
                                          .num_heads = 2,
                                          .depths = {{2, 2}},
                                          .directions = directions(Direction::backward, Direction::forward),
                                          .mask = {.kind = MaskKind::none},
                                          .mid_channels = 32};
template <Backend B = Cpu>
using FirstSmall = MiaVsr<first_small, B, ToyParts>;

}  // namespace mia::test
