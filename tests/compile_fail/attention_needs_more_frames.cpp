// expect: give .window more frames
#include "mia/nn/swin_irfm.hpp"
template <mia::AttentionConfig C, class B>
using ThreeFrames = mia::WindowAttention<C, mia::WindowFrames{.keys = 3, .queries = 1}, B>;
constexpr mia::SwinIrfmConfig config{.block = {.attention = {.embed_dim = 12, .num_heads = 2, .window = {2, 8, 8}}}};
mia::SwinIrfm<config, mia::Cpu, ThreeFrames> branch;
