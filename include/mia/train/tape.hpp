#pragma once
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "mia/core/arena.hpp"
#include "mia/core/transfer.hpp"
#include "mia/nn/probe.hpp"
#include "mia/train/gradient.hpp"
#include "mia/train/twin_arena.hpp"
#include "mia/train/uniform.hpp"

namespace mia {

struct TapeConfig {
    float drop_path = 0;        ///< of a branch's last block, linear in the block's number (published: 0.1)
    bool checkpoint = false;    ///< blocks are computed again in the backward pass: less memory, a third more work
    bool check_writes = false;  ///< an op that overwrites what a gradient will need is an Error (slow)
    ScratchFill fill = ScratchFill::nothing;
};

/// The share of tokens that a mask kept, over the masked blocks of one step.
struct MaskShare {
    double sum = 0;  ///< of the blocks' shares, padded tokens included (the official maskloss)
    int blocks = 0;
    double mean() const { return blocks == 0 ? 1.0 : sum / blocks; }
};

/// A backend that does what B does and remembers it: each op pushes its vector-Jacobian product (vjp), and backward()
/// plays them in reverse. Modules run on it unchanged.
///
/// Memory from scratch() lives until the next restart() and has a gradient in the twin of its arena. So have the
/// parameters, one flat buffer given to the constructor, in a flat buffer of their own. Everything else, frames,
/// targets, State, has none, which is how State is detached. An op overwrites its result, so its vjp takes the result's
/// gradient away. One step:
///
///     tape.restart();
///     prepare(tape, *model);
///     const auto out = tape.scratch(T, scale * H, scale * W, 3);
///     model->forward(tape, clip, out);
///     const double loss = charbonnier_loss(tape, out, target);
///     tape.backward();               // adds to tape.parameter_gradients()
template <Backend B>
class Tape {
public:
    using Scalar = typename B::Scalar;
    static constexpr bool memory_is_host = B::memory_is_host;

    /// Memory of a State: a fresh piece each time it is reserved, for what it held before may still be needed.
    template <class U>
    struct Buffer {
        U* begin = nullptr;
        U* data() const { return begin; }
    };

    /// parameters: Network::flat() of the model, Network<Model::On<Tape<B>>, B>; may be empty.
    explicit Tape(B& backend, View<Scalar, 1> parameters = {}, TapeConfig config = {}, Uniform uniform = {})
        : backend_(backend),
          config_(config),
          parameters_(parameters),
          values_(config.fill, backend.memory()),
          other_(ScratchFill::nothing, backend.memory()),
          states_(ScratchFill::nothing, backend.memory()),
          uniform_(uniform ? std::move(uniform) : seeded_uniform(1)) {
        backend.reserve(gradients_, std::size_t(parameters.size()));
        zero_gradients();
    }
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;

    B& backend() { return backend_; }
    const TapeConfig& config() const { return config_; }

    // The concept Backend.

    struct Scope {
        ~Scope() {}  // memory is not used twice in a step
    };
    [[nodiscard]] Scope scope() { return {}; }

    template <class U = Scalar, class... I>
    View<U, int(sizeof...(I))> scratch(I... extents) {
        View<U, int(sizeof...(I))> view{nullptr, {int(extents)...}};
        const std::size_t bytes = std::size_t(view.size()) * sizeof(U);
        if constexpr (std::is_floating_point_v<U>)
            view.data = static_cast<U*>(values_.take(bytes));
        else
            view.data = static_cast<U*>(other_.take(bytes));
        return view;
    }
    template <class U>
    void reserve(Buffer<U>& buffer, std::size_t count) {
        buffer.begin = static_cast<U*>(states_.take(count * sizeof(U)));
    }
    void record(const Work& work) { backend_.record(work); }

    // A step.

    /// Forgets the last step: scratch, State and variables of before must not be used any more. The parameters'
    /// gradients stay.
    void restart() {
        records_.clear();
        reads_.clear();
        draws_.clear();
        kept_.clear();
        values_.release({});
        other_.release({});
        states_.release({});
        closures_.release({});
        share_ = {};
        share_gradient_ = 0;
        is_recording_ = true;  // the last step may have ended in an Error
        is_replaying_ = false;
    }
    /// A copy of an input, which lies in host memory, whose gradient is wanted. Waits for the backend.
    template <class U, int Rank>
    View<std::remove_const_t<U>, Rank> variable(View<U, Rank> input) {
        View<std::remove_const_t<U>, Rank> copied;
        std::copy(input.extents, input.extents + Rank, copied.extents);
        copied.data = scratch<std::remove_const_t<U>>(int(input.size())).data;
        upload(backend_, input, copied);
        synchronize(backend_);
        return copied;
    }
    /// Plays the vjps in reverse. Gradients of parameters are added to what is there.
    void backward() { play(0); }
    /// After backward(): the gradient of a variable, zero if nothing depends on it. (That of an op's result is taken
    /// away.)
    template <class U, int Rank>
    View<const std::remove_const_t<U>, Rank> gradient_of(View<U, Rank> variable) {
        const auto found = gradient(variable);
        require(bool(found), "Tape: the view of shape ", shape_text(variable),
                " has no gradient; give a parameter, or a variable() made since restart()");
        View<const std::remove_const_t<U>, Rank> of = variable;
        of.data = found.data;
        return of;
    }
    /// In the order of the parameters.
    View<Scalar, 1> parameter_gradients() { return {gradients_.data(), {parameters_.extent(0)}}; }
    void zero_gradients() {
        if (parameters_.size() > 0) fill_zero(backend_, parameter_gradients());
    }

    /// Of the step so far.
    MaskShare mask_share() const { return share_; }
    /// Bytes of activations; State, masks and the gradients that live at once come on top.
    std::size_t activation_bytes() const { return values_.bytes(); }

    // For ops.

    /// How many of `capacity` rows an op computes. A number in device memory is not asked for: it is that of all rows,
    /// for on a tape no token is left out (vjp/windows.hpp).
    static int computed(RowCount rows, int capacity) {
        if constexpr (memory_is_host)
            return rows.value ? *rows.value * rows.times : capacity;
        else
            return capacity;
    }
    /// Adds the vjp of an op that has written y: f(dy) is called if y got a gradient. f holds views and numbers only.
    template <class U, int Rank, class F>
    void push(View<U, Rank> y, F f) {
        if (!is_recording_ || !values_.holds(y.data)) return;
        if (config_.check_writes) check_write(y);
        push_always([y, f](Tape& tape) mutable {
            if (!tape.is_touched(y)) return;
            f(tape.gradient_to_read(View<const U, Rank>(y)));
            tape.forget(y);
        });
    }
    /// f(tape) in the backward pass, whatever has a gradient.
    template <class F>
    void push_always(F f) {
        static_assert(std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F>,
                      "Tape: a vjp may hold views, numbers and pointers only");
        if (!is_recording_) return;
        void* closure = new (closures_.take(sizeof(F))) F(std::move(f));
        records_.push_back({[](void* self, Tape& tape) { (*static_cast<F*>(self))(tape); }, closure});
    }
    /// Says that a vjp will read these values.
    template <class U, int Rank>
    void reads(View<U, Rank> x) {
        if (config_.check_writes && is_recording_ && !is_replaying_)
            reads_.push_back(bytes_of(View<const std::remove_const_t<U>, Rank>(x)));
    }

    /// Whether x, an activation or a parameter, has a place for a gradient.
    template <class U, int Rank>
    bool has_gradient(View<U, Rank> x) const {
        return x.data != nullptr && (is_parameter(x.data) || values_.holds(x.data));
    }
    /// Whether something has reached the gradient of an activation.
    template <class U, int Rank>
    bool is_touched(View<U, Rank> x) const {
        return values_.holds(x.data) && values_.is_touched(x.data, std::size_t(x.size()) * sizeof(U));
    }
    /// Takes the gradient of an activation away.
    template <class U, int Rank>
    void forget(View<U, Rank> x) {
        values_.forget(x.data, std::size_t(x.size()) * sizeof(U));
    }
    /// The place to add a gradient of x to: zero at first.
    template <class U, int Rank>
    Gradient<std::remove_const_t<U>> gradient(View<U, Rank> x) {
        if (!has_gradient(x)) return {};
        if (auto* parameter = parameter_gradient(x.data)) return {parameter, false};
        values_.touch(x.data, std::size_t(x.size()) * sizeof(U));
        return {values_.twin(const_cast<std::remove_const_t<U>*>(x.data)), false};
    }
    /// The same for a vjp that writes all of it: fresh if there is nothing to add to.
    template <class U, int Rank>
    Gradient<std::remove_const_t<U>> whole_gradient(View<U, Rank> x) {
        if (!has_gradient(x)) return {};
        if (auto* parameter = parameter_gradient(x.data)) return {parameter, false};
        const bool fresh = values_.touch_to_overwrite(x.data, std::size_t(x.size()) * sizeof(U));
        return {values_.twin(const_cast<std::remove_const_t<U>*>(x.data)), fresh};
    }

    /// Noise, in the order of the computation.
    void draw(std::span<float> to) {
        if (is_replaying_) {
            std::copy_n(draws_.begin() + std::ptrdiff_t(next_draw_), to.size(), to.begin());
            next_draw_ += to.size();
            return;
        }
        uniform_(to);
        if (config_.checkpoint) draws_.insert(draws_.end(), to.begin(), to.end());
    }

    /// Counts the share that a block's mask kept.
    void count_share(double share) {
        if (is_replaying_) return;
        share_.sum += share;
        ++share_.blocks;
    }
    /// The loss's derivative with respect to each block's share; known when all are counted.
    double share_gradient() const { return share_gradient_; }
    void add_share_gradient(double gradient) { share_gradient_ += gradient; }

    /// The differentiable stand-in of a mask, by which masked rows return a gradient to whoever drew it.
    void set_soft_mask(View<const std::uint8_t, 1> keep, View<Scalar, 1> soft) { kept_.push_back({keep.data, soft}); }
    View<Scalar, 1> soft_mask(View<const std::uint8_t, 1> keep) const {
        for (auto at = kept_.rbegin(); at != kept_.rend(); ++at)
            if (at->first == keep.data) return at->second;
        return {};
    }

    /// Runs f(state, probe), which writes y, without remembering it; in the backward pass runs it again, unseen by the
    /// probe, with a copy of the state as it was, and plays that.
    template <class Y, class State, class Probe, class F>
    void run_checkpointed(Y y, State& state, Probe& probe, const F& f) {
        if (!config_.checkpoint || !is_recording_ || is_replaying_) return f(state, probe);
        const State before = state;
        const std::size_t first_draw = draws_.size();
        const Position memory = position();
        is_recording_ = false;
        f(state, probe);
        is_recording_ = true;
        release(memory);
        push_always([=](Tape& tape) {
            if (tape.share_gradient_ == 0 && !tape.is_touched(y)) return;
            State again = before;
            NoProbe unseen;
            tape.replay(first_draw, [&] { f(again, unseen); });
        });
    }

private:
    struct Record {
        void (*run)(void* closure, Tape&);
        void* closure;
    };
    struct Bytes {
        const std::byte *begin, *end;
    };
    using Values = BasicTwinArena<decltype(std::declval<B&>().memory())>;
    using Others = BasicArena<decltype(std::declval<B&>().memory())>;
    struct Position {
        typename Values::Position values;
        typename Others::Position other, states;
        std::size_t masks;
    };

    Position position() const { return {values_.position(), other_.position(), states_.position(), kept_.size()}; }
    /// Gives back scratch; State lives on, but for that of a replay.
    void release(const Position& to) {
        values_.release(to.values);
        other_.release(to.other);
        kept_.resize(to.masks);
    }

    void play(std::size_t first) {
        while (records_.size() > first) {
            const Record record = records_.back();
            records_.pop_back();
            record.run(record.closure, *this);
        }
    }
    template <class F>
    void replay(std::size_t first_draw, F f) {
        const Position memory = position();
        const Arena::Position closures = closures_.position();
        const std::size_t first = records_.size();
        is_replaying_ = true;
        next_draw_ = first_draw;
        f();
        play(first);
        is_replaying_ = false;
        release(memory);
        states_.release(memory.states);
        closures_.release(closures);
    }

    bool is_parameter(const void* p) const {
        const auto *at = static_cast<const std::byte*>(p), *begin = reinterpret_cast<std::byte*>(parameters_.data);
        const std::less<const std::byte*> less;
        return begin && !less(at, begin) && less(at, begin + std::size_t(parameters_.size()) * sizeof(Scalar));
    }
    template <class U>
    std::remove_const_t<U>* parameter_gradient(U* p) const {
        if constexpr (std::is_same_v<std::remove_const_t<U>, Scalar>)
            if (is_parameter(p)) return gradients_.data() + (p - parameters_.data);
        return nullptr;
    }
    template <class U, int Rank>
    View<const U, Rank> gradient_to_read(View<const U, Rank> y) {
        values_.touch(y.data, std::size_t(y.size()) * sizeof(U));
        y.data = values_.twin(const_cast<U*>(y.data));
        return y;
    }

    template <class U, int Rank>
    static Bytes bytes_of(View<U, Rank> x) {
        const auto* begin = reinterpret_cast<const std::byte*>(x.data);
        return {begin, begin + std::size_t(x.size()) * sizeof(U)};
    }
    template <class U, int Rank>
    void check_write(View<U, Rank> y) const {
        if (is_replaying_) return;
        const Bytes written = bytes_of(y);
        const std::less<const std::byte*> less;
        for (const Bytes& read : reads_)
            require(!less(written.begin, read.end) || !less(read.begin, written.end), "Tape: a result of shape ",
                    shape_text(y),
                    " overwrites values that an earlier op's gradient needs; give the op scratch of its own");
    }

    B& backend_;
    TapeConfig config_;
    View<Scalar, 1> parameters_;
    typename B::template Buffer<Scalar> gradients_;
    Values values_;
    Others other_, states_;
    Arena closures_;  // of the host
    std::vector<Record> records_;
    std::vector<Bytes> reads_;
    Uniform uniform_;
    std::vector<float> draws_;  // all of the step, if blocks will run again
    std::size_t next_draw_ = 0;
    std::vector<std::pair<const std::uint8_t*, View<Scalar, 1>>> kept_;
    MaskShare share_;
    double share_gradient_ = 0;
    bool is_recording_ = true, is_replaying_ = false;
};

}  // namespace mia

#include "mia/train/vjp/conv2d.hpp"
#include "mia/train/vjp/elementwise.hpp"
#include "mia/train/vjp/images.hpp"
#include "mia/train/vjp/layer_norm.hpp"
#include "mia/train/vjp/linear.hpp"
#include "mia/train/vjp/mask.hpp"
#include "mia/train/vjp/warps.hpp"
#include "mia/train/vjp/window_attention.hpp"
#include "mia/train/vjp/windows.hpp"
