// expect: zeros only at the end
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.depths = {{6, 0, 6}}}> model;
