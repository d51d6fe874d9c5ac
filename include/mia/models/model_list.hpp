#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "mia/core/cpu.hpp"
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

/// The models that programs have compiled in: the published ones, with and without mask, and the small default.
inline constexpr MiaVsrConfig without_mask(MiaVsrConfig config) {
    config.mask = {.kind = MaskKind::none};
    return config;
}
inline constexpr std::tuple shipped_models{
    NamedModel<MiaVsrLite<>>{"mia_vsr_lite"},
    NamedModel<MiaVsrBase<>>{"mia_vsr_base"},
    NamedModel<MiaVsr<without_mask(mia_vsr_base)>>{"mia_vsr_base without mask"},
    NamedModel<MiaVsrSmall<>>{"mia_vsr_small"},
    NamedModel<MiaVsr<without_mask(mia_vsr_small)>>{"mia_vsr_small without mask"},
    NamedModel<MiaVsrTiny<>>{"mia_vsr_tiny"},
    NamedModel<MiaVsr<without_mask(mia_vsr_tiny)>>{"mia_vsr_tiny without mask"},
};

struct ModelOptions {
    int threads = 1;
    bool mask = true;  ///< false: never skip a token; for official files that hold a mask nobody trained
};

/// A model of one type with its weights, backend and memory, as an AnyModel: for a Session or a program.
template <class M>
class RunningModel final : public AnyModel {
public:
    RunningModel(std::string name, const StateDict& file, const ModelOptions& options)
        : name_(std::move(name)), cpu_(options.threads), model_(cpu_) {
        load_parameters(*model_, file,
                        {.prefix = "", .unused_mask = options.mask ? UnusedMask::refuse : UnusedMask::ignore});
        prepare(cpu_, *model_);
    }
    std::string name() const override { return name_; }
    int scale() const override { return M::scale; }
    bool bidirectional() const override { return M::config.directions.has_backward(); }
    void forward(View<const float, 4> clip, View<float, 4> out) override {
        cpu_.reserve_scratch(need(clip.extent(0), clip.extent(1), clip.extent(2)).scratch);
        cpu_.reset_work();
        model_->forward(cpu_, clip, out, state_);
    }
    std::size_t memory_bytes(int frames, int height, int width) const override {
        const Need n = need(frames, height, width);
        return n.scratch + n.state + std::size_t(cpu_.threads()) * worker_bytes;
    }
    std::string summary(int height, int width) const override { return mia::summary<M>(height, width).text(); }
    double skipped_share() const override { return cpu_.work().skipped_share(); }

private:
    static constexpr std::size_t worker_bytes = std::size_t(1) << 20;  // a thread's scratch for one window

    struct Need {
        std::array<int, 3> shape{};
        std::size_t scratch = 0, state = 0;
    };
    /// What a clip of this size takes, counted by the model's own forward.
    Need need(int frames, int height, int width) const {
        const std::array<int, 3> shape{frames, height, width};
        if (last_need_.shape == shape) return last_need_;
        using OnCount = typename M::template On<Count>;
        Count setup, count;
        Network<OnCount, Count> model(setup);
        prepare(setup, *model);
        View<const float, 4> clip{nullptr, {frames, height, width, 3}};
        View<float, 4> out{nullptr, {frames, M::scale * height, M::scale * width, 3}};
        typename OnCount::State state;
        model->forward(count, clip, out, state);
        last_need_ = {shape, count.scratch_peak(), count.tensor_bytes()};
        return last_need_;
    }

    std::string name_;
    Cpu cpu_;
    Network<M> model_;
    typename M::State state_;
    mutable Need last_need_;
};

namespace detail {

/// Whether the file's tensors and metadata are those of the model.
template <class M>
bool fits(const StateDict& file, const ModelOptions& options) {
    if (!options.mask && M::config.mask.kind != MaskKind::none) return false;
    const auto own = model_metadata<M>();
    for (const auto& [key, value] : file.metadata()) {
        const bool is_mask = key.starts_with("mask");
        const auto at = own.find(key);
        if (at != own.end() && at->second != value && !(is_mask && !options.mask)) return false;
    }
    const auto shapes = std::make_unique<const M>();  // unbound: names and shapes are all that is asked
    std::set<std::string> known;
    bool fit = true;
    for_each_parameter(*shapes, [&](const std::string& name, const auto& parameter) {
        known.insert(name);
        const TensorEntry* entry = file.find(name);
        fit &= entry ? std::ranges::equal(entry->shape, parameter.shape) : !parameter.is_trained;
    });
    const UnusedMask unused = options.mask ? UnusedMask::refuse : UnusedMask::ignore;
    for (const TensorEntry& entry : file.entries()) fit &= known.contains(entry.name) || is_unused(entry.name, unused);
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
            options.mask ? "; if the file holds a mask that was never trained, switch the mask off." : ".");
    return found;
}

}  // namespace mia
