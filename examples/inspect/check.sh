#!/bin/bash
# check.sh PROGRAM CLIP: runs inspect as a person would, and looks at exit codes, words and files. Needs the programs
# ffmpeg and ffprobe.
source "$(dirname "$0")/../support/check.sh"

holds() {  # holds FILE WORDS
    grep -qF -- "$2" "$1" || fail "$(basename "$1") does not hold \"$2\""
}

# What the files are, by the hand of ffmpeg.
expect 0 "variable: 33.3 to 233.3 ms a frame" "$clip"
for fact in "video, h264" "audio, aac" "160 x 90, square pixels" "yuv420p, 8 bits" "matrix bt709, limited range" \
    "frames      25" "640 x 360" " MB in chunks of 48 frames" "an estimate"; do
    holds "$words" "$fact"
done
ffmpeg -v error -f lavfi -i testsrc2=size=64x48:rate=25 -t 0.4 -vf setsar=4/3,tinterlace=interleave_top,setfield=tff \
    -flags +ildct+ilme -c:v mpeg2video "$folder/fields.mkv" </dev/null
expect 0 "interlaced" "$folder/fields.mkv"
holds "$words" "pixels of 4:3, shown 85 wide"
holds "$words" "matrix smpte170m (guessed"
ffmpeg -v error -i "$clip" -frames:v 2 -an -c:v ffv1 -pix_fmt bgr0 "$folder/packed.mkv" </dev/null
expect 0 "bgr0, 8 bits" "$folder/packed.mkv"  # which the deinterlacer does not know
ffmpeg -v error -f lavfi -i testsrc2=size=120x72:rate=10 -frames:v 4 "$folder/truth_%d.png" </dev/null
ffmpeg -v error -i "$folder/truth_%d.png" -vf scale=30:18 "$folder/small_%d.png" </dev/null
expect 0 "frames      4" "$folder/small_%d.png"
weights=$(dirname "$0")/../../models/mia_lite.safetensors
expect 0 "218344, 0.87 MB" "$weights"
holds "$words" "mia_vsr_lite, 4 times larger, looks ahead"
holds "$words" "embed_dim   48"

# A run with everything that is drawn: flows, masks, differences; a video with the divider; the report.
expect 0 "report of frames 1 to 3" "$clip" --frames 1..3 --mask 1000 --chunk 2 --context 1 --pictures "$folder/look" \
    --compare "$folder/split.mp4" --report "$folder/report.html"
same "pictures" "$(cd "$folder/look" && echo *)" \
    "$(for frame in 1 2 3; do for what in compare difference flow mask; do echo -n "frame_0000${frame}_$what.png "; done; done | sed 's/ $//')"
size() { ffprobe -v error -show_entries stream=width,height -of csv=p=0:s=x "$1"; }
same "size of a comparison" "$(size "$folder/look/frame_00002_compare.png")" 1936x360
same "size of the masks" "$(size "$folder/look/frame_00002_mask.png")" 648x368
same "frames of the video" "$(ffprobe -v error -count_packets -show_entries stream=nb_read_packets -of csv=p=0 "$folder/split.mp4")" 3
for fact in "Tokens skipped" "branch 2, block 2" "by hand, threshold 1000" "data:image/png;base64,iVBORw0KGgo" "</html>"; do
    holds "$folder/report.html" "$fact"
done
! grep -qE '(src|href)="https?:' "$folder/report.html" || fail "the report needs other files"
expect 0 "comparison of frames 0 to 0" "$folder/small_1.png" --truth "$folder/truth_1.png" --compare "$folder/one" \
    --report "$folder/quality.html"
holds "$folder/quality.html" "Quality against the truth"

expect 0 "Examples" --help
expect 2 "FILE"
expect 2 "--frames" "$clip" --frames 9..3
expect 2 "--mask" "$clip" --mask maybe
expect 1 "no such file" "$folder/none.mp4"
expect 1 "the folder is not empty" "$clip" --pictures "$folder/look"
expect 1 "the truth ends" "$folder/small_%d.png" --truth "$folder/truth_1.png" --report "$folder/x.html"
expect 1 "holds weights" "$weights" --report "$folder/x.html"
expect 1 "there is no folder" "$folder/small_1.png" --report "$folder/none/x.html"

[ "$failures" = 0 ] && echo "inspect: all checks passed"
exit $((failures > 0))
