/// Every op's CUDA half, instantiated: what nvcc must compile, for the chips of CMAKE_CUDA_ARCHITECTURES. Never run.
#include "mia/cuda.cuh"

namespace mia {

void all_ops(Cuda& cuda) {
    const View<float, 1> x1{};
    const View<float, 2> x2{};
    const View<float, 3> x3{};
    const View<float, 4> x4{};
    const View<std::uint8_t, 1> keep{};
    const WindowGrid grid{};
    ActiveRows rows{};
    PackedLinear<Cuda> linear_weights;
    PackedConv2d<Cuda> conv2d_weights;
    PackedPositionBias<Cuda> bias;

    activate<float>(cuda, x2, Activation::gelu, x2);
    add<float>(cuda, x2, x2, x2);
    add_flows(cuda, x3, x3, x3);
    avg_pool2d<float>(cuda, x3, 2, x3);
    block_match<float>(cuda, x3, x3, x3);
    concat_channels<float>(cuda, x2, x2, x2, x2);
    conv2d<float>(cuda, x3, conv2d_weights, x3);
    conv2d_shuffle<float>(cuda, x3, conv2d_weights, 2, x3);
    convert(cuda, View<const float, 2>{}, x2);
    copy<float>(cuda, x2, x2);
    crop_image<float>(cuda, x3, x3);
    fill_zero(cuda, x1);
    flow_warp<float, float>(cuda, x3, x3, Padding::zeros, x3);
    gather_rows<float>(cuda, x2, rows, x2);
    gather_windows<float>(cuda, grid, rows, x4, x4, x4);
    layer_norm<float>(cuda, x2, x1, x1, x2);
    linear<float>(cuda, x2, linear_weights, x2);
    normalize_channels<float>(cuda, x2, x1, x1, x2);
    pack_conv2d<float>(cuda, x4, x1, conv2d_weights);
    pack_linear<float>(cuda, x2, x1, 1.0f, linear_weights);
    pack_position_bias<float>(cuda, x2, {}, {}, bias);
    pad_replicate<float>(cuda, x3, x3);
    patch_align<float>(cuda, x3, x3, x3);
    pixel_shuffle<float>(cuda, x3, 2, x3);
    predict_mask<float>(cuda, grid, x2, x2, x2, x1, keep);
    resize_bilinear<float>(cuda, x3, Corners::apart, x3);
    scatter_rows<float>(cuda, x2, rows, x2);
    select_rows(cuda, grid, 1, {}, rows);
    subpixel_align<float>(cuda, x3, x3, 4, x3);
    threshold_mask<float>(cuda, x2, x2, 0.5f, keep);
    window_attention<float>(cuda, grid, rows, {}, 1, x2, x3, bias, x2);
}

}  // namespace mia
