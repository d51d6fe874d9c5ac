// expect: Parts::Alignment needs embed_dim to be a multiple of its channel_divisor
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.embed_dim = 60}, mia::Cpu, mia::LiteParts> model;
