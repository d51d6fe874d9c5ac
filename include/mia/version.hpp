#pragma once

/// The version of the library, stated once; CMake reads it from here.
#define MIA_VERSION_MAJOR 0
#define MIA_VERSION_MINOR 1
#define MIA_VERSION_PATCH 0
