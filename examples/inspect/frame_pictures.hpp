#pragma once
#include "inspect/model_run.hpp"
#include "mia/core/tensor.hpp"

/// One scale for all pictures of a run, so that they can be compared.
struct PictureScales {
    float flow_pixels = 0;        ///< a flow of this length has the full colour; 0: from the first flows that come
    float difference_codes = 20;  ///< a difference of this many 8-bit codes of luma has the full colour
};

using Picture = mia::Tensor<float, 3>;  ///< (H, W, 3)

/// Flows to the frame before and the one after, side by side, and the colour wheel. Empty when the model told none.
Picture flow_picture(const FrameResult& frame, PictureScales& scales);

/// The frame with the tokens that were computed in colour: a row for each branch, a column for each block. Empty when
/// no block of the frame had a mask.
Picture mask_picture(const FrameResult& frame);

/// Luma of the model's result minus that of bicubic, red above and blue below, with a bar of the colours underneath.
Picture difference_picture(const FrameResult& frame, const PictureScales& scales);

/// The input with its pixels enlarged, bicubic, the model's result.
Picture comparison_picture(const FrameResult& frame, int scale);
