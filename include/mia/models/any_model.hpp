#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/view.hpp"
#include "mia/models/clip_flows.hpp"
#include "mia/models/statistics.hpp"
#include "mia/nn/mask_predictor.hpp"

namespace mia {

enum class Precision { fp32, bf16 };  ///< of weights and features (core/bf16.hpp)

struct ModelOptions {
    int threads = 1;
    Precision precision = Precision::fp32;
    /// as_trained: by the weights' mask predictor, if they have one. off: for official files that hold a mask nobody
    /// trained.
    MaskUse mask = MaskUse::as_trained;
    /// by_hand: a token is computed anew where its features change by this or more, on average.
    float threshold = 0.2f;
};

/// Looks into a running model, and may end it by throwing. Override what you want to see; the views live until the call
/// returns. Calls come in the order of the computation, in the thread that called the model (nn/probe.hpp has the same
/// for models whose type is known).
class ModelObserver {
public:
    virtual ~ModelObserver() = default;

    /// Whether flow() and mask() are wanted. Where a GPU computes them, it is waited for to copy each one.
    virtual bool wants_values() const { return true; }

    /// Share of the clip's multiply-adds that are behind, 0 to 1, every token counted as active; after each frame of a
    /// branch and each result.
    virtual void progress(double) {}

    /// flow: (H, W, 2) in pixels, frame `from` to frame `to` of the clip; where the frame was padded, of the padded
    /// size.
    virtual void flow(int /*from*/, int /*to*/, View<const float, 3> /*flow*/) {}

    /// The branch at hand, its place in the list of directions; step: frames it has processed; frame: the one at hand.
    virtual void step(int /*branch*/, int /*step*/, int /*frame*/) {}

    /// keep: (H, W), 1 where the block at hand computed the token; empty: every token. Blocks of a step come in order.
    virtual void mask(View<const std::uint8_t, 2> /*keep*/) {}
};

/// A model chosen at run time: what a program or a Session holds when weights, sizes and backend are not in the type.
/// The price is one virtual call a clip; everything below it is compiled for one config. An observer may be null.
class AnyModel {
public:
    virtual ~AnyModel() = default;

    /// "mia_vsr_lite", for people.
    virtual std::string name() const = 0;

    /// Factor of height and width, 1 or more.
    virtual int scale() const = 0;

    /// Whether a frame's result depends on later frames; false: step() works.
    virtual bool bidirectional() const = 0;

    /// clip: (T, H, W, 3) RGB in [0, 1] -> out: (N, scale*H, scale*W, 3), the results of the clip's frames first ...
    /// first + N - 1, neither clamped nor rounded; what only the others need is not computed. Any T, H, W from 1 up.
    /// `out` must not overlap `clip`. Calls are independent of each other: nothing is carried from clip to clip.
    void forward(View<const float, 4> clip, int first, View<float, 4> out, ModelObserver* observer) {
        begin(clip, first, out.extent(0), observer);
        for (int n = 0; n < out.extent(0); ++n) next(out[n]);
    }
    void forward(View<const float, 4> clip, View<float, 4> out) { forward(clip, 0, out, nullptr); }

    /// The same with the results one by one, as they are made: begin(), then next() `results` times, each into
    /// (scale*H, scale*W, 3). `clip` and the observer must live until the last of them; an error or any other run of
    /// the model ends this one.
    virtual void begin(View<const float, 4> clip, int first, int results, ModelObserver* observer) = 0;
    virtual void next(View<float, 3> out) = 0;

    /// Working memory in bytes of begin() and next() on a clip of this size, clip and result not counted. Known
    /// beforehand.
    virtual std::size_t memory_bytes(int frames, int height, int width) const = 0;

    /// The flows that forward() would compute, for a caller that runs the model on parts of the frames: backward and
    /// forward (T - 1, H, W, 2), each empty where no branch of the model uses it. Error for a model that cannot.
    virtual void flows(View<const float, 4> /*clip*/, View<float, 4> /*backward*/, View<float, 4> /*forward*/) {
        throw Error(text("the model ", name(), " does not compute its flows apart; run it on whole frames"));
    }
    /// Which of the two flows the model uses; both false: it has no tiles.
    virtual bool uses_backward_flow() const { return false; }
    virtual bool uses_forward_flow() const { return false; }
    /// forward() with the flows given; H and W at least tile_unit().
    virtual void forward_with_flows(View<const float, 4> /*clip*/, const ClipFlows& /*flows*/, int /*first*/,
                                    View<float, 4> /*out*/, ModelObserver*) {
        throw Error(text("the model ", name(), " takes no flows from outside; run it on whole frames"));
    }
    /// Tiles begin at multiples of this many pixels: of the window and of the patch that alignment moves.
    virtual int tile_unit() const { return 8; }
    /// Working memory in bytes of flows(), and of forward_with_flows().
    virtual std::size_t flow_memory_bytes(int /*frames*/, int /*height*/, int /*width*/) const { return 0; }
    virtual std::size_t tile_memory_bytes(int /*frames*/, int /*height*/, int /*width*/) const { return 0; }

    /// The next frame of a running clip, of a model that is not bidirectional: frame (H, W, 3) -> out (scale*H,
    /// scale*W, 3). is_first begins a new clip. The same numbers as forward() on the whole clip.
    virtual void step(View<const float, 3> /*frame*/, bool /*is_first*/, View<float, 3> /*out*/, ModelObserver*) {
        throw Error(text("the model ", name(), " looks ahead; give it whole clips"));
    }
    /// Working memory in bytes of step(), with what it carries from frame to frame.
    virtual std::size_t step_memory_bytes(int /*height*/, int /*width*/) const { return 0; }

    /// A table of the model's modules for frames of this size: shapes, parameters, multiply-adds (models/summary.hpp).
    virtual std::string summary(int, int) const { return {}; }

    /// Bytes that are free in the memory of the model's own device; 0: it works in the host's.
    virtual std::size_t free_device_memory() const { return 0; }

    /// Share of the tokens that the mask skipped in the last forward() or step(), 0 to 1. A GPU keeps the count: 0.
    virtual double skipped_share() const { return 0; }

    /// From now on time and work of each module are added up, over all runs; a clock is read after each of them.
    virtual void keep_statistics() {}
    /// What was added up, in the order of the computation, last "other": what belongs to no module. Empty when nothing
    /// was kept.
    virtual std::vector<ModuleStatistics> statistics() const { return {}; }
    /// FLOP/s that the processor can do at most with the model's threads, in its precision, measured now; 0: not known.
    virtual double peak_flops() { return 0; }
};

}  // namespace mia
