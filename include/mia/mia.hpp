#pragma once

/// All that a program on the CPU needs: backends, ops, modules, models, weights. Needs the standard library alone.
/// Video files are in mia/video (target mia::video).

#include "mia/core/count.hpp"
#include "mia/core/cpu.hpp"
#include "mia/io/load_parameters.hpp"
#include "mia/io/read_state_dict.hpp"
#include "mia/models/mia_vsr.hpp"
#include "mia/models/model_list.hpp"
#include "mia/models/session.hpp"
#include "mia/models/summary.hpp"
#include "mia/nn/pixel_shuffle.hpp"
#include "mia/version.hpp"
