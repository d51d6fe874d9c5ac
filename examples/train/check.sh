#!/bin/bash
# check.sh PROGRAM CLIP: runs train as a person would, on a toy, and looks at exit codes, words and files.
source "$(dirname "$0")/../support/check.sh"

same_bytes() {  # same_bytes FILE FILE
    cmp "$1" "$2" || fail "$1 and $2 differ"
}
config() {  # config NAME MEMBERS: a toy's configuration, whose output is NAME.safetensors
    cat >"$folder/$1.json" <<END
{"data": "data.txt", "validation": "clip.mp4", "validation_frames": 2, "output": "$1.safetensors", "iterations": 24,
 "batch": 1, "frames": 3, "patch": 16, "report_every": 1, "validate_every": 12, "save_every": 100$2}
END
}

cp "$clip" "$folder/clip.mp4"
printf '# path  kind  weight  licence\nclip.mp4 video 1 "CC0, a test"\nmissing.mkv video 1 CC0\n' >"$folder/data.txt"

license=', "metadata": {"license": "none, a test"}'
config whole "$license"
expect 0 "whole.safetensors is ready" "$folder/whole.json"
grep -qF "missing.mkv" "$words" || fail "the missing clip is not named: $(cat "$words")"
grep -q "^iteration 24, loss .*, PSNR-Y .* dB, .* left$" "$words" || fail "no report in: $(cat "$words")"
for fact in "clip.mp4: CC0, a test" '"license":"none, a test"' "clip.mp4, the first 2 frames: PSNR-Y "; do
    grep -aqF "$fact" "$folder/whole.safetensors" || fail "the weights do not tell $fact: $(head -c 1000 "$folder/whole.safetensors")"
done
[ "$(wc -l <"$folder/whole.csv")" = 25 ] || fail "the curve: $(cat "$folder/whole.csv")"
[ "$(grep -c "<polyline" "$folder/whole.svg")" = 2 ] || fail "the drawn curve: $(head -c 2000 "$folder/whole.svg")"
[ "$(cd "$folder/whole_samples" && echo *)" = "0000012.png 0000024.png" ] || fail "samples: $(ls "$folder/whole_samples")"
[ "$(ffprobe -v error -show_entries stream=width,height -of csv=p=0 "$folder/whole_samples/0000024.png")" = "664,88" ] ||
    fail "a sample is not four pictures side by side"
expect 1 "exists already" "$folder/whole.json"

# Interrupted while it runs, with another number of threads, and resumed.
config cut "$license"
expect 1 "no run can be resumed" "$folder/cut.json" --resume
touch "$folder/cut.txt"
"$program" "$folder/cut.json" --threads 1 >"$folder/cut.txt" 2>&1 &
until grep -q "^iteration 2," "$folder/cut.txt" || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
kill -TERM $!
wait $!
code=$?
[ $code = 130 ] || fail "interrupted: exit code $code; it said: $(cat "$folder/cut.txt")"
[ -e "$folder/cut.safetensors" ] && fail "an interrupted run wrote weights"
expect 1 "--resume" "$folder/cut.json"
sed -i 's/"batch": 1/"batch": 2/' "$folder/cut.json"
expect 1 "the run was begun with 'batch 1', and this one has 'batch 2'" "$folder/cut.json" --resume
config cut "$license"
expect 0 "cut.safetensors is ready" "$folder/cut.json" --resume
same_bytes "$folder/whole.safetensors" "$folder/cut.safetensors"
same_bytes "$folder/whole.state" "$folder/cut.state"
[ "$(cut -d, -f1 "$folder/cut.csv")" = "$(cut -d, -f1 "$folder/whole.csv")" ] || fail "the curve: $(cat "$folder/cut.csv")"
same_bytes "$folder/whole.svg" "$folder/cut.svg"

# From weights; what is wrong is said.
config from ', "start": "whole.safetensors", "iterations": 1'
expect 0 "from.safetensors is ready" "$folder/from.json"
config wrong ', "learning_rat": 1e-4'
expect 1 'there is no key "learning_rat"; the nearest is "learning_rate"' "$folder/wrong.json"
config wrong ', "loss": "l3"'
expect 1 '"loss" is "l3". Write one of "charbonnier", "l1", "mse".' "$folder/wrong.json"
config wrong ', "seed": -1'
expect 1 '"seed" is -1. Write a whole number from 0 on.' "$folder/wrong.json"
config wrong ', "learning_rate": "fast"'
expect 1 '"learning_rate" is "fast". Write a number from 0' "$folder/wrong.json"
config wrong ', "frames": 1000'
expect 1 "25 frames, 1000 are needed" "$folder/wrong.json"
config wrong ', "data": "nowhere.txt"'
expect 1 "nowhere.txt: the data set cannot be opened" "$folder/wrong.json"
config wrong ', "metadata": {"iterations": 3}'
expect 1 '"metadata" is {"iterations":3}. Write an object of strings' "$folder/wrong.json"
config wrong ', "metadata": {"scale": "4"}'
expect 1 '"metadata" has a "scale", which `train` itself writes' "$folder/wrong.json"
config wrong ', "metadata": {"iterations": "3"}'
expect 1 '"metadata" has a "iterations", which `train` itself writes' "$folder/wrong.json"
config wrong ','
expect 1 "is not JSON" "$folder/wrong.json"
expect 1 "cannot be opened" "$folder/nothing.json"
recipe=$(dirname "$0")  # the default model's
cp "$recipe/mia_lite_1.json" "$folder/lite.json"  # the toy's frames are too small for it
expect 1 "160 x 90 pixels, 160 x 160 are needed" "$folder/lite.json"
# One iteration of it, on its clips alone: the photographs are not in the repository.
mkdir "$folder/recipe"
cp -r "$recipe/clips" "$folder/recipe"
grep '^clips/' "$recipe/data.txt" >"$folder/recipe/data.txt"
sed 's/"iterations": [0-9]*/"iterations": 1/; s/"warm_up": [0-9]*/"warm_up": 0/' "$recipe/mia_lite_1.json" >"$folder/recipe/lite.json"
expect 0 "mia_lite_1.safetensors is ready" "$folder/recipe/lite.json"
grep -q "^iteration 1, loss .*, PSNR-Y .* dB" "$words" || fail "the recipe's run: $(cat "$words")"
for name in palms hawk field; do
    grep -aqF "$name.mkv: CC0-1.0" "$folder/recipe/mia_lite_1.safetensors" || fail "the recipe's weights do not tell of $name"
done
expect 2 "CONFIG" --resume

[ "$failures" = 0 ] && echo "train: all checks passed"
exit $((failures > 0))
