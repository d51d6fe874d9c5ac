// expect: View: one index for each axis
#include "mia/core/view.hpp"
float f(mia::View<float, 3> x) { return x(1, 2); }
