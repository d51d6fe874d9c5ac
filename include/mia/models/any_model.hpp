#pragma once
#include <cstddef>
#include <string>

#include "mia/core/view.hpp"

namespace mia {

/// A model chosen at run time: what a program or a Session holds when weights, sizes and backend are not in the type.
/// The price is one virtual call a clip; everything below it is compiled for one config.
class AnyModel {
public:
    virtual ~AnyModel() = default;

    /// "mia_vsr_lite", for people.
    virtual std::string name() const = 0;

    /// Factor of height and width, 1 or more.
    virtual int scale() const = 0;

    /// Whether a frame's result depends on later frames; false: no look-ahead is needed.
    virtual bool bidirectional() const = 0;

    /// clip: (T, H, W, 3) RGB in [0, 1] -> out: (T, scale*H, scale*W, 3), neither clamped nor rounded. Any T, H, W from
    /// 1 up. `out` must not overlap `clip`. Calls are independent of each other: nothing is carried from clip to clip.
    virtual void forward(View<const float, 4> clip, View<float, 4> out) = 0;

    /// Working memory in bytes of forward() on a clip of this size, clip and result not counted. Known beforehand.
    virtual std::size_t memory_bytes(int frames, int height, int width) const = 0;

    /// A table of the model's modules for frames of this size: shapes, parameters, multiply-adds (models/summary.hpp).
    virtual std::string summary(int, int) const { return {}; }

    /// Share of the tokens that the mask skipped in the last forward(), 0 to 1.
    virtual double skipped_share() const { return 0; }
};

}  // namespace mia
