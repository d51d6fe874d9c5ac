#pragma once
#include <string>

#include "mia/core/module.hpp"
#include "mia/ops/mask/mask.hpp"

namespace mia {

enum class MaskKind {
    none,      ///< every token of every frame is computed
    learned,   ///< adaptive: a linear map of the change since the last frame decides (MIA-VSR, Sec. 3.3)
    threshold  ///< kept where the mean over channels of |change| reaches a threshold set by hand; no parameters
};

/// What decides at run time, in a model that has a mask.
enum class MaskUse {
    as_trained,  ///< what MaskConfig names
    off,         ///< every token is computed; the numbers and the memory of MaskKind::none
    by_hand      ///< as MaskKind::threshold, with a threshold set at run time
};

/// Which tokens are computed anew, and which take the last frame's result.
struct MaskConfig {
    MaskKind kind = MaskKind::learned;
    float threshold = 0.2f;  ///< of MaskKind::threshold
    int first_blocks = 0;    ///< no mask in this many blocks at the beginning of each branch
    int refresh_every = 0;   ///< every token is computed in each n-th step of a branch; 0: only in the first
};

/// Decides from |q - previous| which tokens changed. Parameters of the learned kind, whatever it is used for:
/// rnn.weight (1, C), rnn.bias (1).
template <MaskConfig M, int C, Backend B = Cpu>
class MaskPredictor {
    static_assert(M.kind != MaskKind::threshold || M.threshold >= 0,
                  "MaskPredictor: .threshold must not be negative; a mean of absolute values is compared with it");
    static_assert(M.first_blocks >= 0 && M.refresh_every >= 0,
                  "MaskPredictor: .first_blocks and .refresh_every must not be negative; 0 switches them off");

public:
    using Scalar = typename B::Scalar;

    /// q, previous: (P, C), normed tokens of this frame and the last -> keep: (P) bytes. grid: the block's windows.
    void forward(B& backend, const WindowGrid& grid, View<const Scalar, 2> q, View<const Scalar, 2> previous,
                 View<std::uint8_t, 1> keep) const {
        if (is_learned())
            predict_mask(backend, grid, q, previous, weight_.view(), bias_.view(), keep);
        else
            threshold_mask(backend, q, previous, threshold_, keep);
    }

    /// To be set before the weights are packed. The threshold is that of by_hand; Error when it is negative there.
    void set_use(MaskUse use, float threshold = M.threshold) {
        require(use != MaskUse::by_hand || threshold >= 0, "MaskPredictor: a threshold of ", threshold,
                " was given; a mean of absolute values is compared with it, give 0 or more");
        use_ = use;
        threshold_ = use == MaskUse::by_hand ? threshold : M.threshold;
    }
    bool is_off() const { return M.kind == MaskKind::none || use_ == MaskUse::off; }
    bool is_learned() const { return M.kind == MaskKind::learned && use_ == MaskUse::as_trained; }
    float threshold() const { return threshold_; }

    View<const Scalar, 2> weight() const { return weight_.view(); }
    View<const Scalar, 1> bias() const { return bias_.view(); }

    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        if constexpr (M.kind == MaskKind::learned) {
            visit("rnn.weight", self.weight_);
            visit("rnn.bias", self.bias_);
        }
    }

private:
    Parameter<B, 1, C> weight_;
    Parameter<B, 1> bias_;
    MaskUse use_ = MaskUse::as_trained;
    float threshold_ = M.threshold;
};

/// Sets what decides in every block of a model, which stays as it is where it has no mask (MaskKind::none); prepare()
/// it afterwards. Error for a negative threshold by hand.
template <class M>
void set_mask_use(M& module, MaskUse use, float threshold = MaskConfig{}.threshold) {
    for_each_module(module, [&](const std::string&, auto& inner) {
        if constexpr (requires { inner.set_use(use, threshold); }) inner.set_use(use, threshold);
    });
}

}  // namespace mia
