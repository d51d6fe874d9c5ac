// expect: for another use OneStepUpsampler
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.scale = 5}> model;
