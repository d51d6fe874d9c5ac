// extra flags -ffast-math: compile without -ffast-math
#include "mia/core/error.hpp"
