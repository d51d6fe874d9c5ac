// expect: success
#include "mia/models/mia_vsr.hpp"
template class mia::Conv2d<mia::Conv2dConfig{}, mia::Cpu>;
