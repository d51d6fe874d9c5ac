// expect: scale must be 2, 3 or 4; for another use OneStepUpsampler
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.scale = 5}> model;
