#!/bin/bash
# check.sh PROGRAM CLIP: runs upscale as a person would, and looks at exit codes, outputs and what is left behind.
# Needs the programs ffmpeg and ffprobe.
source "$(dirname "$0")/../support/check.sh"

times() { ffprobe -v error -select_streams v -show_entries frame=pts -of csv=p=0 "$1" | tr -dc '0-9\n' | grep .; }
sound() { ffmpeg -v error -i "$1" -map 0:a -c copy -f framemd5 - </dev/null; }

expect 0 "is ready" "$clip" "$folder/large.mp4"
same "time stamps" "$(times "$clip")" "$(times "$folder/large.mp4")"
same "sound" "$(sound "$clip")" "$(sound "$folder/large.mp4")"
expect 1 "exists already" "$clip" "$folder/large.mp4"

# A part of it, smaller, as images; quietly.
expect 0 "" "$clip" "$folder/images" --quiet --threads 1 --start 3f --end 0:00.5 --height 90
same "quiet" "$(cat "$words")" ""
seconds=$(ffprobe -v error -select_streams v -show_entries frame=pts_time -of csv=p=0 "$clip" | tr -dc '0-9.\n' | grep .)
same "number of images" "$(ls "$folder/images" | wc -l)" "$(awk 'NR > 3 && $1 < 0.5' <<<"$seconds" | wc -l)"
expect 1 "not empty" "$clip" "$folder/images"

# Through pipes, as y4m; JSON for programs.
ffmpeg -v error -i "$clip" -frames:v 3 -f yuv4mpegpipe - </dev/null |
    "$program" - - --progress json 2>"$words" | ffprobe -v error -count_frames -show_entries \
    stream=width,height,nb_read_frames -of csv=p=0 - >"$folder/probe.txt"
same "y4m" "$(cat "$folder/probe.txt")" "640,360,3"
for event in start progress done; do
    grep -q "^{\"event\": \"$event\".*}$" "$words" || fail "no event $event in: $(cat "$words")"
done

# Each scene as if it were a video of its own, found or told; the mask saves work where nothing moves.
ffmpeg -v error -f lavfi -i color=gray:size=32x24:rate=25 -f lavfi -i testsrc=size=32x24:rate=25 -filter_complex \
    "[0]trim=end_frame=9[a];[1]trim=end_frame=9[b];[a][b]concat" -c:v ffv1 "$folder/two.mkv" </dev/null
echo "9 # the test picture" >"$folder/cuts.txt"
expect 0 "2 scenes" "$folder/two.mkv" "$folder/found.mkv" --codec ffv1
expect 0 "2 scenes" "$folder/two.mkv" "$folder/told.mkv" --codec ffv1 --scenes "$folder/cuts.txt"
expect 0 "" "$folder/two.mkv" "$folder/second.mkv" --codec ffv1 --start 9f
pixels() { ffmpeg -v error -i "$1" -map 0:v -f framehash - </dev/null | awk -F, '!/^#/ { print $6 }'; }
same "scenes, told" "$(pixels "$folder/told.mkv")" "$(pixels "$folder/found.mkv")"
same "the second scene" "$(pixels "$folder/second.mkv")" "$(pixels "$folder/found.mkv" | tail -n 9)"
expect 0 "of the tokens skipped" "$folder/two.mkv" "$folder/masked.mkv" --mask 0.05

# Where the time went: every stage and module, in lines that fit a screen, even where nothing else is said; as JSON.
expect 0 "18 frames in" "$folder/two.mkv" "$folder/quiet.mkv" --codec ffv1 --mask 0.05 --stats --quiet
for row in decode model encode flow conv_first {backward,forward}_1\ {alignment,blocks,convolutions} upsampler other \
    "outside the model" all; do
    grep -qE "^$row +[0-9]+\.[0-9]+ " "$words" || fail "no \"$row\" in the statistics: $(cat "$words")"
done
grep -qE "Peak: [1-9][0-9]*\.[0-9] GFLOP/s" "$words" || fail "no peak in the statistics: $(cat "$words")"
grep -qE "memory: [1-9][0-9.]* MB declared .* [1-9][0-9.]* MB at most" "$words" || fail "no memory: $(cat "$words")"
same "lines longer than 100 columns" "$(grep -cE '.{101}' "$words")" 0
same "skipped: of blocks only" "$(awk '/_1 blocks/ && $NF > 0 { n++ } END { print n }' "$words")" 2
expect 0 '"event": "done"' "$folder/two.mkv" "$folder/json.mkv" --codec ffv1 --progress json --stats
tail -n 1 "$words" | grep -qE '"stats": \{"frames": 18, .*"stages": \[.*"modules": \[.*"memory_peak_bytes": [1-9][0-9]*\}\}$' ||
    fail "no stats in the last event: $(tail -n 1 "$words")"
expect 0 "is ready" "$folder/two.mkv" "$folder/unasked.mkv" --codec ffv1
! grep -q "GFLOP" "$words" || fail "statistics that nobody asked for: $(cat "$words")"

expect 0 "Examples" --help
[ "$(wc -l <"$words")" -le 48 ] || fail "--help does not fit a screen: $(wc -l <"$words") lines"
expect 2 "INPUT"
expect 2 "--speed" "$clip" "$folder/x.mp4" --speed 9
expect 2 "--threads" "$clip" "$folder/x.mp4" --threads 0
expect 2 "--mask" "$clip" "$folder/x.mp4" --mask maybe
expect 2 "--precision" "$clip" "$folder/x.mp4" --precision half
expect 2 "--device" "$clip" "$folder/x.mp4" --device tpu
expect 2 "--start" "$clip" "$folder/x.mp4" --start 1:xx
expect 2 "--memory" "$clip" "$folder/x.mp4" --memory 4
expect 2 "--size" "$clip" "$folder/x.mp4" --size 100
expect 1 "no such file" "$folder/none.mp4" "$folder/x.mp4"
expect 1 "the output is the input" "$folder/large.mp4" "$folder/large.mp4" --overwrite
expect 1 "odd size" "$clip" "$folder/x.mp4" --size 639x359 --odd refuse
expect 1 "need at least" "$clip" "$folder/x.mp4" --memory 1M
echo zero >"$folder/wrong.txt"
expect 1 "wrong.txt, line 1" "$clip" "$folder/x.mp4" --scenes "$folder/wrong.txt"

# A GPU works where build and machine have one; else a sentence says what is missing.
code=0
"$program" "$clip" "$folder/gpu.mp4" --device cuda >"$words" 2>&1 || code=$?
[ "$code" = 0 ] || grep -qE "this build has no CUDA; configure with|no GPU was found" "$words" ||
    fail "--device cuda: exit code $code; it said: $(cat "$words")"

# Ctrl-C in the middle: 130, what is finished stays, and the hint works. Killed again and again at any moment, it ends
# with the bytes of a run that nobody disturbed.
ffmpeg -v error -f lavfi -i testsrc2=size=40x24:rate=25 -t 20 -c:v ffv1 "$folder/long.mkv" </dev/null
expect 0 "" "$folder/long.mkv" "$folder/whole.mp4"
code=0
timeout --preserve-status --signal INT 1.2 "$program" "$folder/long.mkv" "$folder/stopped.mp4" >"$words" 2>&1 || code=$?
same "exit code after Ctrl-C" "$code" 130
[ ! -e "$folder/stopped.mp4" ] || fail "an output after Ctrl-C"
expect 1 "another one" "$folder/long.mkv" "$folder/stopped.mp4" --resume --crf 30
kills=0
until timeout --signal KILL "0.$((RANDOM % 30 + 10))" \
    "$program" "$folder/long.mkv" "$folder/stopped.mp4" --resume --quiet >"$words" 2>&1; do
    kills=$((kills + 1))
    [ ! -e "$folder/stopped.mp4" ] || fail "an output after a kill"
    [ $kills -lt 20 ] || { expect 0 "earlier run" "$folder/long.mkv" "$folder/stopped.mp4" --resume && break; }
done 2>/dev/null
cmp "$folder/stopped.mp4" "$folder/whole.mp4" || fail "killed $kills times, the output differs"
[ ! -e "$folder/stopped.mp4.partial" ] || fail "the folder of the unfinished run is still there"

[ "$failures" = 0 ] && echo "upscale: all checks passed (killed $kills times)"
exit $((failures > 0))
