/// Every vjp, loss and optimiser step on Cuda, instantiated: what nvcc must compile besides kernels.cu. Never run.
#include "mia/train/cuda.cuh"

namespace mia {

void all_vjps(Tape<Cuda>& tape, Cuda& cuda) {
    const View<float, 1> x1{};
    const View<float, 2> x2{};
    const View<float, 3> x3{};
    const View<float, 4> x4{};
    const View<std::uint8_t, 1> keep{};
    const WindowGrid grid{};
    ActiveRows rows{};
    PackedLinear<Cuda> transposed;
    PackedConv2d<Cuda> turned;
    PackedPositionBias<Cuda> bias;
    Tensor<float, 2, Tape<Cuda>> kept;

    activate(tape, x2, Activation::gelu, x2);
    add(tape, x2, x2, x2);
    add_flows(tape, x3, x3, x3);
    avg_pool2d(tape, x3, 2, x3);
    concat_channels(tape, x2, x2, x2, x2);
    convert(tape, View<const float, 2>{}, x2);
    copy(tape, x2, x2);
    crop_image(tape, x3, x3);
    drop_path(tape, x2, 1);
    flow_warp(tape, x3, x3, Padding::zeros, x3);
    gather_rows(tape, x2, rows, x2);
    gather_windows(tape, grid, rows, x4, x4, x4);
    layer_norm(tape, x2, x1, x1, x2);
    masked_rows(tape, rows, keep, 1, 1, &kept, [] { return View<const float, 2>{}; });
    normalize_channels(tape, x2, x1, x1, x2);
    pad_replicate(tape, x3, x3);
    patch_align(tape, x3, x3, x3);
    pixel_shuffle(tape, x3, 2, x3);
    predict_mask(tape, grid, x2, x2, x2, x1, keep);
    resize_bilinear(tape, x3, Corners::apart, x3);
    scatter_rows(tape, x2, rows, x2);
    select_rows(tape, grid, 1, {}, rows);
    subpixel_align(tape, x3, x3, 4, x3);

    // Of these the forward half is in kernels.cu.
    conv2d_weight_gradient<float>(cuda, x3, x3, 3, {}, {});
    linear_input_gradient<float>(cuda, x2, transposed, {});
    linear_weight_gradient<float>(cuda, x2, x2, 1, {}, {});
    pack_transposed<float>(cuda, x2, 1, transposed);
    pack_turned<float>(cuda, x4, turned);
    window_attention_gradient<float>(cuda, grid, rows, {}, x2, x3, bias, x2, x2, {}, {}, {});

    charbonnier_loss(tape, x3, x3);
    end_point_error(tape, x3, x3);
    l1_loss(tape, x3, x3);
    mse_loss(tape, x3, x3);
    photometric_loss(tape, x3, x3, x3);
    clip_norm(cuda, x1, 1);
    Adam<float, Cuda>(cuda, 1).step(cuda, x1, x1, 1);
    Muon<float, Cuda>(cuda, 1, {}).step(cuda, x1, x1, 1);
    MovingAverage<float, Cuda>(cuda, x1).update(cuda, x1);
}

}  // namespace mia
