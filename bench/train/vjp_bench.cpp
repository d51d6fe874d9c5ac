#include "mia/train/losses.hpp"
#include "support/fixture.hpp"
#include "support/measure.hpp"
#include "support/required_macs.hpp"

// The vector-Jacobian product of each op, on a training sample's maps of the lite model: the backward pass alone, with
// the gradients of all inputs and parameters. A product costs twice its forward pass, once for each factor.
namespace {
using namespace mia;
using namespace mia::bench;

using Taped = Tape<Cpu>;
constexpr int H = 64, W = 64, P = H * W, C = lite.embed_dim, R = mia_vsr_lite.mlp_ratio * C, scale = mia_vsr_lite.scale;
constexpr double floats = sizeof(float);

/// Inputs with gradients: parts of one buffer, as parameters are.
class Inputs {
public:
    explicit Inputs(View<float, 1> all) : all_(all) {}
    template <class... I>
    View<float, int(sizeof...(I))> take(I... extents) {
        const int size = (1 * ... * extents), first = std::exchange(used_, used_ + size);
        return all_.slice(first, size).reshape(extents...);
    }

private:
    View<float, 1> all_;
    int used_ = 0;
};

/// forward(tape, inputs) records the op and returns its result, whose gradient is then a map of ones.
template <class Forward>
void add(const std::string& op, int numbers, Cost cost, Forward forward) {
    add_case("vjp/" + op, 1, [=](benchmark::State& state, Cpu& cpu) {
        Tensor<float, 1> parameters = random_tensor({numbers});
        Taped tape(cpu, parameters.view());
        measure(
            state, cpu, cost, [&] { tape.backward(); }, 2,
            [&] {
                tape.restart();
                Inputs inputs(parameters.view());
                const auto y = forward(tape, inputs);
                std::fill_n(tape.gradient(y).data, y.size(), 1.0f);
            });
    });
}

void add_linear(const std::string& name, int in, int out, Activation activation) {
    const auto packed = std::make_shared<PackedLinear<Taped>>();
    add("linear/lite_" + name, P * in + out * in + out, {.macs = 2.0 * P * in * out}, [=](Taped& tape, Inputs& inputs) {
        const auto x = inputs.take(P, in);
        packed->ready = false;
        pack_linear(tape, inputs.take(out, in), inputs.take(out), 1.0f, *packed);
        const auto y = tape.scratch(P, out);
        linear(tape, x, *packed, y, activation);
        return y;
    });
}

void add_conv2d(const std::string& name, int kernel, int in, int out) {
    const auto packed = std::make_shared<PackedConv2d<Taped>>();
    add("conv2d/" + name, P * in + out * in * kernel * kernel + out, {.macs = 2.0 * conv_macs(in, out, kernel, P)},
        [=](Taped& tape, Inputs& inputs) {
            const auto x = inputs.take(H, W, in);
            packed->ready = false;
            pack_conv2d(tape, inputs.take(out, in, kernel, kernel), inputs.take(out), *packed);
            const auto y = tape.scratch(H, W, out);
            conv2d(tape, x, *packed, y);
            return y;
        });
}

/// An op that moves memory: y = f(tape, x) of C channels; bytes: of gradients and of what else is read or written.
template <class F>
void add_map(const std::string& op, int channels, double bytes, F f) {
    add(op + "/lite", P * channels, {.bytes = bytes},
        [=](Taped& tape, Inputs& inputs) { return f(tape, inputs.take(H, W, channels)); });
}

void add_attention() {
    constexpr WindowFrames frames{3, 1};
    constexpr int N = lite.window.tokens(), table = frames.keys * lite.window.offsets();
    struct Packed {
        PackedLinear<Taped> query, key_value;
        PackedPositionBias<Taped> bias;
    };
    const auto packed = std::make_shared<Packed>();
    const WindowGrid grid{H, W, lite.window};
    const double queries_and_keys = double(P) * C * C * (1 + 2 * frames.keys),
                 attention = 2.0 * P * frames.keys * N * C;
    add("projected_attention/lite", 3 * P * C + 3 * C * (C + 1) + table * lite.num_heads,
        {.macs = 2 * (queries_and_keys + attention)}, [=](Taped& tape, Inputs& inputs) {
            auto rows = make_active_rows(tape, grid, 1);
            select_rows(tape, grid, 1, {}, rows);
            const auto cond = inputs.take(2, H, W, C), x = inputs.take(1, H, W, C);
            packed->query.ready = packed->key_value.ready = packed->bias.ready = false;
            pack_linear(tape, inputs.take(C, C), inputs.take(C), 0.25f, packed->query);
            pack_linear(tape, inputs.take(2 * C, C), inputs.take(2 * C), 1.0f, packed->key_value);
            pack_position_bias(tape, inputs.take(table, lite.num_heads), lite.window, frames, packed->bias);
            const auto y = tape.scratch(P, C);
            projected_attention(tape, grid, rows, frames, lite.num_heads, cond, x, packed->query, packed->key_value,
                                packed->bias, y);
            return y;
        });
    add("window_attention/lite", P * C * (1 + 2 * frames.keys) + table * lite.num_heads, {.macs = 2 * attention},
        [=](Taped& tape, Inputs& inputs) {
            auto rows = make_active_rows(tape, grid, 1);
            select_rows(tape, grid, 1, {}, rows);
            const auto q = inputs.take(P, C);
            const auto kv = inputs.take(grid.windows(), frames.keys * N, 2 * C);
            packed->bias.ready = false;
            pack_position_bias(tape, inputs.take(table, lite.num_heads), lite.window, frames, packed->bias);
            const auto y = tape.scratch(P, C);
            window_attention(tape, grid, rows, frames, lite.num_heads, q, kv, packed->bias, y);
            return y;
        });
    add("gather_windows/lite", 3 * P * C, {.bytes = 2 * 3.0 * P * C * floats}, [=](Taped& tape, Inputs& inputs) {
        auto rows = make_active_rows(tape, grid, 1);
        select_rows(tape, grid, 1, {}, rows);
        const auto cond = inputs.take(2, H, W, C), x = inputs.take(1, H, W, C);
        const auto y = tape.scratch(grid.windows(), 3, N, C);
        gather_windows(tape, grid, rows, cond, x, y);
        return y;
    });
    for (const bool gathers : {true, false})
        add(gathers ? "gather_rows/lite" : "scatter_rows/lite", P * C, {.bytes = 2.0 * P * C * floats},
            [=](Taped& tape, Inputs& inputs) {
                auto rows = make_active_rows(tape, grid, 1);
                select_rows(tape, grid, 1, {}, rows);
                const auto x = inputs.take(P, C), y = tape.scratch(P, C);
                if (gathers)
                    gather_rows(tape, x, rows, y);
                else
                    scatter_rows(tape, x, rows, y);
                return y;
            });
    // Half of the tokens kept; what the others hold has no gradient, the mask has one through its straight-through
    // stand-in.
    const auto previous = std::make_shared<Tensor<float, 2>>(random_tensor({P, C}, -normed, normed, 9));
    add("predict_mask/lite", P * C + C + 1, {.bytes = 5.0 * P * C * floats}, [=](Taped& tape, Inputs& inputs) {
        auto rows = make_active_rows(tape, grid, 1);
        select_rows(tape, grid, 1, {}, rows);
        const auto x = inputs.take(P, C);
        const auto weight = inputs.take(1, C);
        const auto keep = tape.scratch<std::uint8_t>(P);
        predict_mask(tape, grid, x, *previous, weight, inputs.take(1), keep);
        Tensor<float, 2, Taped> kept;
        kept.resize(tape, P, C);
        copy(tape.backend(), *previous, kept.view());
        return masked_rows(tape, rows, keep, P, C, &kept, [&] { return View<const float, 2>(x); });
    });
}

void add_maps() {
    const double map = double(P) * C * floats, frame = double(P) * 3 * floats, flow = double(P) * 2 * floats;
    add("layer_norm/lite", P * C + 2 * C, {.bytes = 3 * map}, [](Taped& tape, Inputs& inputs) {
        const auto x = inputs.take(P, C), y = tape.scratch(P, C);
        const auto weight = inputs.take(C), bias = inputs.take(C);
        layer_norm(tape, x, weight, bias, y);
        return y;
    });
    add_map("gelu", R, 3 * 2 * map, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H, W, R);
        activate(tape, rows_of(x), Activation::gelu, rows_of(y));
        return y;
    });
    add_map("leaky_relu", C, 3 * map, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H, W, C);
        activate(tape, rows_of(x), Activation::leaky_relu, rows_of(y));
        return y;
    });
    add_map("add", C, 3 * map, [](Taped& tape, View<float, 3> x) {  // x + x: two gradients into one
        const auto y = tape.scratch(H, W, C);
        add(tape, rows_of(x), rows_of(x), rows_of(y));
        return y;
    });
    add_map("pixel_shuffle", C, 2 * map, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(scale * H, scale * W, 3);
        pixel_shuffle(tape, x, scale, y);
        return y;
    });
    add_map("resize", 3, (1 + scale * scale) * frame, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(scale * H, scale * W, 3);
        resize_bilinear(tape, x, Corners::apart, y);
        return y;
    });
    add_map("avg_pool2d", 3, 1.25 * frame, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H / 2, W / 2, 3);
        avg_pool2d(tape, x, 2, y);
        return y;
    });
    add_map("pad_replicate", 3, 2 * frame, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H + 5, W + 3, 3);
        pad_replicate(tape, x, y);
        return y;
    });
    add_map("crop_image", 3, 2 * frame, [](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H - 5, W - 3, 3);
        crop_image(tape, x, y);
        return y;
    });
    const auto given = std::make_shared<Tensor<float, 3>>(smooth_flow(H, W));
    add_map("subpixel_align", C, 2 * map + flow, [=](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H, W, C);
        subpixel_align(tape, x, given->view(), scale, y);
        return y;
    });
    add_map("patch_align", C, 2 * map + flow, [=](Taped& tape, View<float, 3> x) {
        const auto y = tape.scratch(H, W, C);
        patch_align(tape, x, given->view(), y);
        return y;
    });
    add("flow_warp/lite", P * (C + 2), {.bytes = 3 * map + 2 * flow}, [](Taped& tape, Inputs& inputs) {
        const auto x = inputs.take(H, W, C), y = tape.scratch(H, W, C);
        flow_warp(tape, x, View<const float, 3>(inputs.take(H, W, 2)), Padding::zeros, y);
        return y;
    });
    add("concat_channels/lite", P * 8, {.bytes = 2 * 8.0 * P * floats}, [](Taped& tape, Inputs& inputs) {
        const auto y = tape.scratch(P, 8);
        const auto a = inputs.take(P, 3), b = inputs.take(P, 3), flow_so_far = inputs.take(P, 2);
        concat_channels(tape, a, b, flow_so_far, y);
        return y;
    });
    add_map("charbonnier_loss", 3, 3 * frame,
            [target = std::make_shared<Tensor<float, 3>>(random_tensor({H, W, 3}))](Taped& tape, View<float, 3> x) {
                const auto y = tape.scratch(H, W, 3);
                copy(tape, rows_of(x), rows_of(y));
                charbonnier_loss(tape, y, target->view());
                return y;
            });
}

[[maybe_unused]] const bool added = [] {
    add_linear("c_to_c", C, C, Activation::none);
    add_linear("c_to_rc_gelu", C, R, Activation::gelu);
    add_linear("rc_to_c", R, C, Activation::none);
    add_conv2d("3x3_lite", 3, C, C);
    add_conv2d("1x1_lite", 1, C, C);
    add_conv2d("3x3_lite_first", 3, 3, C);
    add_attention();
    add_maps();
    return true;
}();

}  // namespace
