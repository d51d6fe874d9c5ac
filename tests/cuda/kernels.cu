/// Every op's CUDA half, instantiated: what nvcc must compile, for the chips of MIA_CUDA_ARCHITECTURES. Never run.
#include "mia/cuda.cuh"

namespace mia {

template <class T>
void all_ops(BasicCuda<T>& cuda) {
    const View<T, 1> x1{};
    const View<T, 2> x2{};
    const View<T, 3> x3{};
    const View<T, 4> x4{};
    const View<float, 2> pixels{};
    const View<float, 3> frame{};
    const View<std::uint8_t, 1> keep{};
    const WindowGrid grid{};
    ActiveRows rows{};
    PackedLinear<BasicCuda<T>> linear_weights;
    PackedConv2d<BasicCuda<T>> conv2d_weights;
    PackedPositionBias<BasicCuda<T>> bias;

    activate<T>(cuda, x2, Activation::gelu, x2);
    add<T>(cuda, x2, x2, x2);
    add_flows(cuda, frame, frame, frame);
    avg_pool2d<T>(cuda, frame, 2, frame);
    block_match<T>(cuda, frame, frame, frame);
    concat_channels<T>(cuda, pixels, pixels, pixels, x2);
    conv2d<T>(cuda, x3, conv2d_weights, x3);
    conv2d<T>(cuda, x3, conv2d_weights, frame);
    conv2d_shuffle<T>(cuda, x3, conv2d_weights, 2, x3);
    conv2d_shuffle<T>(cuda, x3, conv2d_weights, 2, frame);
    convert(cuda, View<const float, 2>{}, x2);
    copy<T>(cuda, x2, x2);
    crop_image<T>(cuda, frame, frame);
    fill_zero(cuda, x1);
    flow_warp<T, T>(cuda, x3, frame, Padding::zeros, x3);
    gather_rows<T>(cuda, x2, rows, x2);
    gather_windows<T>(cuda, grid, rows, x4, x4, x4);
    layer_norm<T>(cuda, x2, x1, x1, x2);
    linear<T>(cuda, x2, linear_weights, x2);
    normalize_channels<T>(cuda, pixels, x1, x1, pixels);
    pack_conv2d<T>(cuda, x4, x1, conv2d_weights);
    pack_linear<T>(cuda, x2, x1, T(1), linear_weights);
    pack_position_bias<T>(cuda, x2, {}, {}, bias);
    pad_replicate<T>(cuda, frame, frame);
    patch_align<T>(cuda, x3, frame, x3);
    pixel_shuffle<T>(cuda, x3, 2, x3);
    predict_mask<T>(cuda, grid, x2, x2, x2, x1, keep);
    resize_bilinear<T>(cuda, frame, Corners::apart, frame);
    scatter_rows<T>(cuda, x2, rows, x2);
    select_rows(cuda, grid, 1, {}, rows);
    subpixel_align<T>(cuda, x3, frame, 4, x3);
    threshold_mask<T>(cuda, x2, x2, 0.5f, keep);
    window_attention<T>(cuda, grid, rows, {}, 1, x2, x3, bias, x2);
}
template void all_ops(Cuda&);
template void all_ops(CudaBf16&);

}  // namespace mia
