// expect: depths must list 1 to 16 groups of at least one block
#include "mia/models/mia_vsr.hpp"
mia::MiaVsr<mia::MiaVsrConfig{.depths = {{}}}> model;
