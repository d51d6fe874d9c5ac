// expect: .directions must list at least one branch
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.directions = {}}> model;
