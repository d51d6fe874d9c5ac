#!/bin/bash
# check.sh PROGRAM CLIP: runs evaluate as a person would, and looks at exit codes and numbers. Needs the program ffmpeg.
source "$(dirname "$0")/../support/check.sh"

make() { ffmpeg -v error -i "$clip" "$@" </dev/null; }

# A truth of 3 frames, 82 x 66, and the same one code brighter everywhere: an error of 1 has 48.131 dB.
mkdir "$folder/truth" "$folder/brighter"
make -frames:v 3 -vf crop=82:66,format=gbrp,lutrgb="r='min(val,250)':g='min(val,250)':b='min(val,250)'" "$folder/truth/%d.png"
make -frames:v 3 -vf crop=82:66,format=gbrp,lutrgb="r='min(val,250)+1':g='min(val,250)+1':b='min(val,250)+1'" \
    "$folder/brighter/%d.png"
expect 0 "48.131" "$folder/brighter" "$folder/truth"
expect 0 '"frame": "mean", "psnr_rgb": 48.131' "$folder/brighter" "$folder/truth" --protocol reds4 --per-frame --json
expect 0 "brighter,2,49.453," "$folder/brighter" "$folder/truth" --protocol vid4 --border 4 --per-frame --csv
cp -r "$folder/brighter" "$folder/a, \"b\""
expect 0 '"a, ""b""",3,48.131' "$folder/a, \"b\"" "$folder/truth" --protocol reds4 --csv
expect 0 "3 frames are equal" "$folder/truth" "$folder/truth"
expect 0 "truth,1,bicubic," --model default "$folder/truth" --protocol vimeo --csv
expect 0 "truth,1,mia_vsr_lite," --model default "$folder/truth" --protocol vimeo --csv

expect 0 "Examples" --help
expect 2 "--protocol" "$folder/truth" "$folder/truth" --protocol psnr
expect 2 "--mask" "$folder/truth" --model default --mask maybe
expect 2 "--model" "$folder/truth" "$folder/truth" --mask off
expect 2 "--model" "$folder/truth" "$folder/truth" --precision bf16
expect 2 "VIDEOS"
expect 1 "1 videos were given" "$folder/truth"
expect 1 "no such file" "$folder/none" "$folder/truth"
expect 1 "82 x 66" "$clip" "$folder/truth"
rm "$folder/brighter/3.png"
expect 1 "has 2 frames" "$folder/brighter" "$folder/truth"
expect 1 "2 frames has no middle frame" "$folder/brighter" "$folder/brighter" --protocol vimeo
expect 1 "border of 40" "$folder/truth" "$folder/truth" --border 40

[ "$failures" = 0 ] && echo "evaluate: all checks passed"
exit $((failures > 0))
