#pragma once
#include <concepts>

#include "mia/models/spynet.hpp"
#include "mia/ops/block_match/block_match.hpp"

namespace mia {

/// Flow of a clip's frames. A user's own type plugs in by meeting this:
///   least_size: frames must have at least this height and width; smaller ones are padded before they come here
///   forward(backend, ref, supp, flow): ref, supp (H, W, 3) in [0, 1] -> flow (H, W, 2) float in pixels, x then y: the
///   content of ref at p is found in supp at p + flow(p)
template <class F, class B>
concept OpticalFlow = Module<F> &&
    requires(const F& f, B& backend, View<const Pixel<B>, 3> frame, View<float, 3> flow) {
    { F::least_size } -> std::convertible_to<int>;
    f.forward(backend, frame, frame, flow);
};

/// Flow by search: one vector per 8 x 8 patch (ops/block_match), in whole pixels, which is all that patch alignment
/// uses, or in quarters for SubpixelAlignment. The same on every backend, nothing to train. No parameters.
template <Backend B = Cpu, MatchPrecision Precision = MatchPrecision::pixel>
class BlockMatching {
public:
    static constexpr const char* name =
        Precision == MatchPrecision::pixel ? "block_matching" : "quarter_block_matching";
    static constexpr int least_size = 8;
    void forward(B& backend, View<const Pixel<B>, 3> ref, View<const Pixel<B>, 3> supp, View<float, 3> flow) const {
        block_match(backend, ref, supp, flow, Precision);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

/// No motion. No parameters.
template <Backend B = Cpu>
class ZeroFlow {
public:
    static constexpr const char* name = "zero";
    static constexpr int least_size = 8;
    void forward(B& backend, View<const Pixel<B>, 3>, View<const Pixel<B>, 3>, View<float, 3> flow) const {
        fill_zero(backend, flow);
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

/// The caller knows the flow, say from a decoder's motion vectors, and passes it to MiaVsr::forward. No parameters.
template <Backend B = Cpu>
class GivenFlow {
public:
    static constexpr const char* name = "given";
    static constexpr int least_size = 8;
    void forward(B&, View<const Pixel<B>, 3>, View<const Pixel<B>, 3>, View<float, 3>) const {
        throw Error(
            "GivenFlow: this model computes no flow; call forward(backend, lqs, flows, out) with the clip's flows");
    }
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};

}  // namespace mia
