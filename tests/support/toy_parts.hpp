#pragma once
#include "mia/models/mia_vsr.hpp"

namespace mia::test {

/// Light parts that any width takes.
struct ToyParts : PublishedParts {
    template <class B>
    using Flow = BlockMatching<B>;
    template <UpsamplerConfig C, class B>
    using Upsampler = OneStepUpsampler<C, B>;
};

}  // namespace mia::test
