// expect: embed_dim must be a multiple of num_heads
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.embed_dim = 120, .num_heads = 7}> model;
