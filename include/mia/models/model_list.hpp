#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "mia/core/cpu.hpp"
#include "mia/core/peak.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/models/any_model.hpp"
#include "mia/models/metadata.hpp"
#include "mia/models/summary.hpp"

namespace mia {

/// A model type under a name, for a program that chooses among several by the weights it is given.
template <class M>
struct NamedModel {
    using Model = M;
    const char* name;
};

/// The models that programs have compiled in: the published ones, and the small default in both precisions. Each has a
/// mask, which is off for weights without one.
inline constexpr std::tuple shipped_models{
    NamedModel<MiaVsrLite<>>{"mia_vsr_lite"}, NamedModel<MiaVsrLite<CpuBf16>>{"mia_vsr_lite_bf16"},
    NamedModel<MiaVsrBase<>>{"mia_vsr_base"}, NamedModel<MiaVsrSmall<>>{"mia_vsr_small"},
    NamedModel<MiaVsrTiny<>>{"mia_vsr_tiny"},
};

namespace detail {

/// What decides for weights of a file in model M.
template <class M>
MaskUse mask_use(const StateDict& file, const ModelOptions& options) {
    if (options.mask != MaskUse::as_trained || M::config.mask.kind != MaskKind::learned) return options.mask;
    const bool has_mask = std::ranges::any_of(file.entries(), [](const TensorEntry& e) { return is_of_mask(e.name); });
    return has_mask ? MaskUse::as_trained : MaskUse::off;
}

inline MaskTensors mask_tensors(MaskUse use) {
    return use == MaskUse::as_trained ? MaskTensors::strict : MaskTensors::optional;
}

}  // namespace detail

/// A model of one type with its weights, backend and memory, as an AnyModel: for a Session or a program.
template <class M>
class RunningModel final : public AnyModel {
    using B = typename M::BackendType;
    using Count = BasicCount<typename M::Scalar>;

public:
    RunningModel(std::string name, const StateDict& file, const ModelOptions& options)
        : name_(std::move(name)),
          backend_(detail::make_backend<B>(options.threads)),
          model_(backend_),
          mask_(detail::mask_use<M>(file, options)),
          threshold_(options.threshold) {
        load_parameters(backend_, model_, file, {.prefix = "", .mask = detail::mask_tensors(mask_)});
        set_mask_use(*model_, mask_, threshold_);
        prepare(backend_, *model_);
        synchronize(backend_);
    }
    std::string name() const override { return name_; }
    int scale() const override { return M::scale; }
    bool bidirectional() const override { return M::uses_backward_flow; }

    void begin(View<const float, 4> clip, int first, int results, ModelObserver* observer) override {
        const Need& n = need({Run::clip, clip.extent(0), clip.extent(1), clip.extent(2), first, results});
        Observed observed = start(n, observer);
        run_scope_.emplace(backend_);
        or_end_run(
            [&] { model_->begin(backend_, uploaded(backend_, clip), first, results, clip_run_, state_, observed); });
    }
    void next(View<float, 3> out) override {
        require(run_scope_.has_value(), name_, ": no result is left; begin() a clip");
        or_end_run([&] {
            Observed observed = watch();
            const auto scope = backend_.scope();
            const auto result = room_for(backend_, out);
            model_->next(backend_, clip_run_, result, state_, observed);
            fetch(backend_, result, out);
        });
        if (clip_run_.frame == clip_run_.end) run_scope_.reset();
    }
    std::size_t memory_bytes(int frames, int height, int width) const override {
        return bytes(need({Run::clip, frames, height, width, 0, frames}));
    }

    bool uses_backward_flow() const override { return M::uses_backward_flow; }
    bool uses_forward_flow() const override { return M::uses_forward_flow; }
    void flows(View<const float, 4> clip, View<float, 4> backward, View<float, 4> forward) override {
        require(clip.extent(1) >= M::least_size && clip.extent(2) >= M::least_size, name_, ": frames of ",
                clip.extent(2), " x ", clip.extent(1), " are too small for flows of their own, the least is ",
                M::least_size, " x ", M::least_size, ". Run the model on whole frames.");
        Observed unseen = start(need({Run::flows, clip.extent(0), clip.extent(1), clip.extent(2), 0, 0}), nullptr);
        const auto scope = backend_.scope();
        const auto b = room_for(backend_, backward), f = room_for(backend_, forward);
        model_->flows(backend_, uploaded(backend_, clip), b, f, unseen);
        if (M::uses_backward_flow) fetch(backend_, b, backward);
        if (M::uses_forward_flow) fetch(backend_, f, forward);
    }
    std::size_t flow_memory_bytes(int frames, int height, int width) const override {
        return bytes(need({Run::flows, frames, height, width, 0, 0}));
    }
    void forward_with_flows(View<const float, 4> clip, const ClipFlows& flows, int first, View<float, 4> out,
                            ModelObserver* observer) override {
        const Need& n = need({Run::given_flows, clip.extent(0), clip.extent(1), clip.extent(2), first, out.extent(0)});
        Observed observed = start(n, observer);
        const auto scope = backend_.scope();
        const auto result = room_for(backend_, out);
        const ClipFlows given{M::uses_backward_flow ? uploaded(backend_, flows.backward) : flows.backward,
                              M::uses_forward_flow ? uploaded(backend_, flows.forward) : flows.forward};
        model_->forward(backend_, uploaded(backend_, clip), given, result, state_, observed, first);
        fetch(backend_, result, out);
    }
    std::size_t tile_memory_bytes(int frames, int height, int width) const override {
        return bytes(need({Run::given_flows, frames, height, width, 0, frames}));
    }
    int tile_unit() const override { return std::lcm(8, std::lcm(M::config.window.height, M::config.window.width)); }

    void step(View<const float, 3> frame, bool is_first, View<float, 3> out, ModelObserver* observer) override {
        if constexpr (M::uses_backward_flow) {
            AnyModel::step(frame, is_first, out, observer);
        } else {
            const Need& n = need({Run::step, 1, frame.extent(0), frame.extent(1), 0, 1});
            if (is_first) stream_.steps = 0;
            Observed observed = start(n, observer);
            const auto scope = backend_.scope();
            const auto result = room_for(backend_, out);
            model_->step(backend_, uploaded(backend_, frame), result, stream_, observed);
            fetch(backend_, result, out);
        }
    }
    std::size_t step_memory_bytes(int height, int width) const override {
        if constexpr (M::uses_backward_flow)
            return AnyModel::step_memory_bytes(height, width);
        else
            return bytes(need({Run::step, 1, height, width, 0, 1}));
    }

    std::string summary(int height, int width) const override { return mia::summary<M>(height, width).text(); }
    std::size_t free_device_memory() const override {
        if constexpr (B::memory_is_host)
            return 0;
        else
            return backend_.free_memory();
    }
    double skipped_share() const override { return backend_.work().skipped_share(); }

    void keep_statistics() override {
        std::vector<std::string> names{"flow", "conv_first"};
        for (int i = 0; i < branches; ++i)
            for (const char* part : {" alignment", " blocks", " convolutions"})
                names.push_back(M::config.directions.name(i) + part);
        names.insert(names.end(), {"upsampler", "other"});
        clock_.emplace(names);
    }
    std::vector<ModuleStatistics> statistics() const override {
        return clock_ ? clock_->modules() : std::vector<ModuleStatistics>();
    }
    double peak_flops() override {
        double peak = 0;
        if constexpr (B::memory_is_host)  // the best of some: a moment of another program does not count
            for (int i = 0; i < 8; ++i) peak = std::max(peak, fma_peak(backend_));
        return peak;
    }

private:
    static constexpr std::size_t worker_bytes = std::size_t(1) << 20;  // a thread's scratch for one window

    struct Run {
        enum Kind { none, clip, given_flows, flows, step } kind = none;
        int frames = 0, height = 0, width = 0, first = 0, results = 0;
        bool operator==(const Run&) const = default;
    };
    struct Need {
        std::size_t scratch = 0, state = 0;
        std::int64_t macs = 0;
    };

    static constexpr int branches = M::config.directions.count;
    /// Places in the statistics; alignment, blocks, convolutions are those of the first branch, others follow by
    /// threes.
    enum Module { flow_module, conv_first, alignment, blocks, convolutions, upsampler = 2 + 3 * branches, other };

    /// Tells the observer, if there is one, and stops the time, if that is asked for.
    class Observed : public NoProbe {
    public:
        Observed(ModelObserver* to, B& backend, ModuleClock* clock, std::int64_t all)
            : observer_(to), backend_(backend), clock_(clock), macs_(all) {
            if (clock_) clock_->start(backend_.work());
        }
        ~Observed() { lap(other); }
        Observed(const Observed&) = delete;
        Observed& operator=(const Observed&) = delete;

        void flow(int from, int to, View<const float, 3> flow) {
            lap(flow_module);
            if (wants_values()) observer_->flow(from, to, on_host(flow, flow_));
        }
        void step(int branch, int step, int frame) {
            branch_ = branch;
            if (observer_) observer_->step(branch, step, frame);
        }
        void mask(View<const std::uint8_t, 3> keep) {
            if (wants_values()) observer_->mask(keep.data ? on_host(keep, mask_)[0] : View<const std::uint8_t, 2>{});
        }
        template <class Features>
        void aligned(const Features&) {
            lap(alignment + 3 * branch_);
        }
        template <class Features>
        void embedded(const Features&) {
            lap(convolutions + 3 * branch_);
        }
        template <class Features>
        void fused(const Features&) {
            lap(convolutions + 3 * branch_);
        }
        template <class Features>
        void block(int, int, const Features&) {
            lap(blocks + 3 * branch_);
        }
        template <class Features>
        void group(int, const Features&) {
            lap(convolutions + 3 * branch_);
        }
        template <class Features>
        void features(int branch, int, const Features&) {
            lap(branch < 0 ? int(conv_first) : convolutions + 3 * branch);
            report();
        }
        template <class Result>
        void result(int, const Result&) {
            lap(upsampler);
            report();
        }

    private:
        void lap(int module) {
            if (!clock_) return;
            synchronize(backend_);
            clock_->lap(std::size_t(module), backend_.work());
        }
        void report() {
            if (observer_ && macs_ > 0) observer_->progress(double(backend_.work().dense_macs) / double(macs_));
        }
        bool wants_values() const { return observer_ && observer_->wants_values(); }
        template <class U, int Rank>
        View<const U, Rank> on_host(View<const U, Rank> x, std::vector<U>& memory) {
            if constexpr (B::memory_is_host) {
                return x;
            } else {
                memory.resize(std::size_t(x.size()));
                View<U, Rank> y = View<U, Rank>{memory.data(), {}};
                std::copy_n(x.extents, Rank, y.extents);
                download(backend_, x, y);
                synchronize(backend_);
                return y;
            }
        }

        ModelObserver* observer_;
        B& backend_;
        ModuleClock* clock_;
        std::int64_t macs_;
        int branch_ = 0;
        std::vector<float> flow_;
        std::vector<std::uint8_t> mask_;
    };

    /// Begins a run; a clip that was begun and not taken to its end is given up.
    Observed start(const Need& n, ModelObserver* observer) {
        run_scope_.reset();
        backend_.reserve_scratch(n.scratch + thread_tables());
        backend_.reset_work();
        observer_ = observer;
        macs_ = n.macs;
        return watch();
    }
    /// part(); when it throws, as an observer may, no result is left to take.
    template <class Part>
    void or_end_run(Part part) {
        try {
            part();
        } catch (...) {
            run_scope_.reset();
            throw;
        }
    }
    Observed watch() { return {observer_, backend_, clock_ ? &*clock_ : nullptr, macs_}; }
    std::size_t bytes(const Need& n) const {
        return n.scratch + thread_tables() + n.state + std::size_t(threads()) * worker_bytes;
    }
    /// What an op keeps of each thread, beside the scratch that Count sees: more than any does.
    std::size_t thread_tables() const { return std::size_t(threads()) * 4096; }
    int threads() const {
        if constexpr (B::memory_is_host)
            return backend_.threads();
        else
            return 0;
    }

    /// What a run takes, counted by the model's own code. Of views without data only the shapes are read.
    const Need& need(const Run& run) const {
        if (last_run_ == run) return last_need_;
        using OnCount = typename M::Counted;
        Count setup, count;
        Network<OnCount, Count> model(setup);
        set_mask_use(*model, mask_, threshold_);
        prepare(setup, *model);
        const auto scope = count.scope();
        // Of the clip's arrays a backend with memory of its own holds copies.
        const auto array = [&](int a, int b, int c, int d) {
            if constexpr (B::memory_is_host)
                return View<float, 4>{nullptr, {a, b, c, d}};
            else
                return count.template scratch<float>(a, b, c, d);
        };
        const auto results = [&](int n) { return array(n, M::scale * run.height, M::scale * run.width, 3); };
        const View<const float, 4> clip = array(run.frames, run.height, run.width, 3);
        typename OnCount::State state;
        if (run.kind == Run::clip) {
            typename OnCount::ClipRun clip_run;
            model->begin(count, clip, run.first, run.results, clip_run, state);
            for (int n = 0; n < run.results; ++n) {
                const auto result_scope = count.scope();
                model->next(count, clip_run, results(1)[0], state);
            }
        }
        if (run.kind == Run::given_flows || run.kind == Run::flows) {
            const auto backward = array(run.frames - 1, run.height, run.width, 2),
                       forward = array(run.frames - 1, run.height, run.width, 2);
            if (run.kind == Run::flows)
                model->flows(count, clip, backward, forward);
            else
                model->forward(count, clip, ClipFlows{backward, forward}, results(run.results), state, NoProbe{},
                               run.first);
        }
        if constexpr (!M::uses_backward_flow)
            if (run.kind == Run::step) {
                typename OnCount::Stream stream;
                const auto out = results(1);
                for (int t = 0; t < M::config.window.frames; ++t) model->step(count, clip[0], out[0], stream);
            }
        last_run_ = run;
        last_need_ = {count.scratch_peak(), count.tensor_bytes(), count.macs()};
        return last_need_;
    }

    /// A scope of the backend's scratch that outlives the call.
    struct HeldScope {
        explicit HeldScope(B& backend) : scope(backend.scope()) {}
        decltype(std::declval<B&>().scope()) scope;
    };

    struct NoStream {};
    template <class Model>
    static auto stream_type() {
        if constexpr (Model::uses_backward_flow)
            return NoStream{};
        else
            return typename Model::Stream{};
    }

    std::string name_;
    B backend_;
    Network<M, B> model_;
    MaskUse mask_;
    float threshold_;
    typename M::State state_;
    typename M::ClipRun clip_run_;
    std::optional<HeldScope> run_scope_;  // while clip_run_ has results left
    ModelObserver* observer_ = nullptr;   // of the run at hand
    std::int64_t macs_ = 0;               // all of them, every token counted as active
    decltype(stream_type<M>()) stream_;
    std::optional<ModuleClock> clock_;
    mutable Run last_run_;
    mutable Need last_need_;
};

namespace detail {

/// Whether the file's tensors and metadata are those of the model.
template <class M>
bool fits(const StateDict& file, const ModelOptions& options) {
    if (narrow<typename M::Scalar> != (options.precision == Precision::bf16)) return false;
    const MaskUse use = mask_use<M>(file, options);
    if (use == MaskUse::by_hand && M::config.mask.kind == MaskKind::none) return false;
    const auto own = model_metadata<M>();
    for (const auto& [key, value] : file.metadata()) {
        if (use != MaskUse::as_trained && key.starts_with("mask")) continue;
        const auto at = own.find(key);
        if (at != own.end() && at->second != value) return false;
    }
    const auto shapes = std::make_unique<const M>();  // unbound: names and shapes are all that is asked
    std::set<std::string> known;
    bool fit = true;
    for_each_parameter(*shapes, [&](const std::string& name, const auto& parameter) {
        known.insert(name);
        const TensorEntry* entry = file.find(name);
        const bool may_lack = !parameter.is_trained || (use != MaskUse::as_trained && is_of_mask(name));
        fit &= entry ? std::ranges::equal(entry->shape, parameter.shape) : may_lack;
    });
    for (const TensorEntry& entry : file.entries())
        fit &= known.contains(entry.name) || is_unused(entry.name, mask_tensors(use));
    return fit;
}

/// "embed_dim 48, branches backward_1 forward_1, groups of 2 2 blocks, a mask, SpyNet": what the tensors' names tell.
inline std::string look_of(const StateDict& file) {
    const TensorEntry* first = file.find("conv_first.weight");
    if (!first || first->shape.size() != 4)
        return text("no conv_first.weight among its ", file.entries().size(), " tensors");
    std::string s = text("embed_dim ", first->shape[0]);
    std::set<std::string> branches, blocks;
    bool mask = false, flow = false;
    int heads = 0;
    for (const TensorEntry& entry : file.entries()) {
        const std::string& n = entry.name;
        flow |= n.starts_with("spynet.");
        mask |= n.find(".attn.predmask.") != std::string::npos;
        if (n.ends_with(".relative_position_bias_table") && entry.shape.size() == 2) heads = int(entry.shape[1]);
        if (!n.starts_with("patch_align.")) continue;
        const std::string branch = n.substr(12, n.find('.', 12) - 12);
        branches.insert(branch);
        const auto at = n.find(".layers."), in_block = n.find(".residual_group.blocks.");
        if (at == std::string::npos || in_block == std::string::npos) continue;
        blocks.insert(branch + n.substr(at, n.find('.', in_block + 23) - at));
    }
    s += text(", ", heads, " heads, ", branches.size(), " branches (");
    for (const std::string& branch : branches) s += text(branch == *branches.begin() ? "" : " ", branch);
    s += text(") of ", branches.empty() ? 0 : blocks.size() / branches.size(), " blocks, ", mask ? "with" : "without",
              " mask, ", flow ? "with" : "without", " SpyNet, ",
              file.find("upconv2.weight") ? "two-step" : "one-step or x2/x3", " upsampler");
    return s;
}

}  // namespace detail

/// The model that a weight file belongs to, among `models` (a tuple of NamedModel), with the weights loaded: by the
/// file's metadata, names and shapes. Error when it is none of them, with what the file looks like. Compiles every
/// model of the list where it is called, and only there.
template <class Models = std::remove_const_t<decltype(shipped_models)>>
std::unique_ptr<AnyModel> open_model(const StateDict& file, const ModelOptions& options = {},
                                     const Models& models = shipped_models) {
    std::unique_ptr<AnyModel> found;
    std::string names;
    const auto consider = [&]<class Model>(const NamedModel<Model>& named) {
        names += text(names.empty() ? "" : ", ", named.name);
        if (!found && detail::fits<Model>(file, options))
            found = std::make_unique<RunningModel<Model>>(named.name, file, options);
    };
    std::apply([&](const auto&... named) { (consider(named), ...); }, models);
    require(found != nullptr, file.source(), ": none of the models compiled in (", names,
            ") has these tensors; the file looks like ", detail::look_of(file),
            "\nUse a file of one of these models; for one of your own, give open_model a list with its type",
            options.precision == Precision::bf16 ? ", and one on CpuBf16 or CudaBf16: precision is bf16" : "",
            options.mask == MaskUse::as_trained
                ? "; if the file holds a mask that was never trained, switch the mask off."
                : ".");
    return found;
}

}  // namespace mia
