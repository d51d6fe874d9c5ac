// expect: .threshold must not be negative
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.mask = {.kind = mia::MaskKind::threshold, .threshold = -1}}> model;
