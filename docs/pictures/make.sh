#!/usr/bin/env bash
# Makes the pictures of README and docs that show the built-in model, from the clip that lies in the repository.
#   docs/pictures/make.sh [BUILD FOLDER]   (default: build; needs upscale and inspect there, and ffmpeg)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
programs=$(cd "${1:-$top/build}" && pwd)/examples
clip=$top/examples/data/dog_vfr_160x90.mp4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
draw() { ffmpeg -v error -y "$@"; }

# Pixels enlarged, bicubic, the model: a part of frame 12.
"$programs/upscale" --quiet "$clip" "$work/large"
draw -i "$clip" -i "$work/large/%06d.png" -filter_complex "
    [0]select=eq(n\,12),format=rgb24,split[a][b];
    [a]crop=98:75:42:10,scale=iw*4:ih*4:flags=neighbor[input];
    [b]scale=iw*4:ih*4:flags=bicubic,crop=392:300:168:40[bicubic];
    [1]select=eq(n\,12),crop=392:300:168:40[model];
    [input][bicubic][model]hstack=3" -frames:v 1 "$here/dog.png"

# What inspect shows of frame 12: divider, difference, masks.
"$programs/inspect" "$clip" --mask 0.2 --frames 8..13 --pictures "$work/look" --compare "$work/divider" > "$work/words"
draw -i "$work/divider/%06d.png" -i "$work/look/frame_00012_difference.png" -i "$work/look/frame_00012_mask.png" \
    -filter_complex "
    [0]select=eq(n\,4),scale=480:270[divider];
    [1]crop=640:360:0:0,scale=480:270[difference];
    [divider][difference]hstack[above];
    [2]scale=960:-2[masks];
    [above][masks]vstack,split[c][d];
    [c]palettegen[palette];
    [d][palette]paletteuse=dither=none" -frames:v 1 "$here/inspect.png"
