#!/usr/bin/env bash
# On a fresh Debian machine: installs what is needed, builds `upscale` and upscales a clip, by default the one that lies
# here.  demo.sh [INPUT [OUTPUT]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
input=${1:-$top/examples/data/dog_vfr_160x90.mp4}
output=${2:-upscaled.mp4}
"$top/cmake/debian.sh"
cmake -S "$top" -B "$top/build" -G Ninja -DMIA_TESTS=OFF -DMIA_BENCHMARKS=OFF > /dev/null
cmake --build "$top/build" --target upscale
overwrite=()
[ $# -ge 2 ] || overwrite=(--overwrite)  # the demonstration's own file; a name that was given is not written over
"$top/build/examples/upscale" "$input" "$output" "${overwrite[@]}"
