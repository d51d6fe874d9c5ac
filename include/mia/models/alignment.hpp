#pragma once
#include "mia/core/module.hpp"
#include "mia/ops/elementwise/elementwise.hpp"
#include "mia/ops/flow_warp/flow_warp.hpp"
#include "mia/ops/patch_align/patch_align.hpp"
#include "mia/ops/subpixel_align/subpixel_align.hpp"

namespace mia {

/// How earlier features are brought to the current frame's place. A user's own type plugs in by meeting this:
///   forward(backend, features (H, W, C), flow (H, W, 2) from the current frame to theirs, aligned (H, W, C))
template <class A, class B>
concept FeatureAlignment = Module<A> && requires(const A& a, B& backend, View<const typename B::Scalar, 3> features,
                                                 View<const float, 3> flow, View<typename B::Scalar, 3> aligned) {
    a.forward(backend, features, flow, aligned);
};

/// An alignment that copies whole tokens, or zeros: then what is computed of each token alone, keys and values for one,
/// may be computed before it moves.
///   source(backend, flow (H, W, 2), source (H, W)): the row-major number of the token that each place reads, -1: zeros
template <class A, class B>
concept TokenGather = FeatureAlignment<A, B> &&
    requires(const A& a, B& backend, View<const float, 3> flow, View<int, 2> source) {
    a.source(backend, flow, source);
};

/// What embed_dim must be a multiple of for an alignment: its own `channel_divisor`, or 1.
template <class A>
constexpr int channel_divisor() {
    if constexpr (requires { A::channel_divisor; })
        return A::channel_divisor;
    else
        return 1;
}

/// 8 x 8 patches move as a whole to whole pixels (published; ops/patch_align). The flow gets no gradient through it.
template <Backend B = Cpu>
class PatchAlignment {
public:
    static constexpr const char* name = "patch";
    void forward(B& backend, View<const typename B::Scalar, 3> features, View<const float, 3> flow,
                 View<typename B::Scalar, 3> aligned) const {
        patch_align(backend, features, flow, aligned);
    }
    void source(B& backend, View<const float, 3> flow, View<int, 2> source) const {
        patch_source(backend, flow, source);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

/// Every pixel moves by its own flow to the nearest 1 / factor of a pixel, without a blur: the features' channels stand
/// for the factor^2 places inside a pixel that pixel shuffle gives them (ops/subpixel_align). embed_dim must be a
/// multiple of factor^2; the factor is meant to be the model's scale. After FRVSR (Sajjadi, Vemulapalli, Brown, CVPR
/// 2018), which moves the last result at its own resolution and gives it to the network as channels; here features are
/// moved so. The flow gets no gradient through it.
template <int Factor, Backend B = Cpu>
class SubpixelAlignment {
    static_assert(Factor >= 1, "SubpixelAlignment: the factor must be 1 or more; use the model's scale");

public:
    static constexpr const char* name = "subpixel";
    static constexpr int channel_divisor = Factor * Factor;
    void forward(B& backend, View<const typename B::Scalar, 3> features, View<const float, 3> flow,
                 View<typename B::Scalar, 3> aligned) const {
        subpixel_align(backend, features, flow, Factor, aligned);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

/// Every pixel is warped by its own flow, bilinearly, zeros outside.
template <Backend B = Cpu>
class BilinearAlignment {
public:
    static constexpr const char* name = "bilinear";
    void forward(B& backend, View<const typename B::Scalar, 3> features, View<const float, 3> flow,
                 View<typename B::Scalar, 3> aligned) const {
        flow_warp(backend, features, flow, Padding::zeros, aligned);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

/// Features are taken as they lie.
template <Backend B = Cpu>
class NoAlignment {
public:
    static constexpr const char* name = "none";
    void forward(B& backend, View<const typename B::Scalar, 3> features, View<const float, 3>,
                 View<typename B::Scalar, 3> aligned) const {
        copy(backend, rows_of(features), rows_of(aligned));
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

}  // namespace mia
