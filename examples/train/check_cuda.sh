#!/bin/bash
# check_cuda.sh PROGRAM CLIP: runs a train that can use CUDA: on a GPU, on the emulator, or on a machine without either.
source "$(dirname "$0")/../support/check.sh"

cp "$clip" "$folder/clip.mp4"
echo 'clip.mp4 video 1 "CC0, a test"' >"$folder/data.txt"
config() {  # config NAME MEMBERS: a toy's configuration, whose output is NAME.safetensors
    cat >"$folder/$1.json" <<END
{"data": "data.txt", "output": "$1.safetensors", "iterations": 2, "batch": 1, "frames": 2, "patch": 8,
 "optimizer": "muon", "report_every": 1, "save_every": 1$2}
END
}

# As the mask begins, so that no token lies at its border, where rounding decides.
start=', "mask_start": 0.01'
config cuda "$start"
if ! "$program" "$folder/cuda.json" --device cuda >"$words" 2>&1; then
    expect 1 "train: --device cuda: no GPU " "$folder/cuda.json" --device cuda
    grep -q "Use --device cpu" "$words" || fail "not how to go on: $(cat "$words")"
    ls "$folder"/cuda.s* 2>/dev/null && fail "something was written"
else
    losses() { sed -n 's/^iteration \([0-9]*\), loss \([0-9.]*\),.*/\1 \2/p' "$words"; }
    on_cuda=$(losses)
    grep -q "cuda.safetensors is ready" "$words" || fail "no weights: $(cat "$words")"
    config cpu "$start"
    expect 0 "cpu.safetensors is ready" "$folder/cpu.json"
    [ "$(wc -l <<<"$on_cuda")" = 2 ] || fail "losses on cuda: $on_cuda"
    paste -d' ' <(losses) <(echo "$on_cuda") | awk '$1 != $3 || ($2 - $4)^2 > 1e-8 {exit 1}' ||
        fail "losses on cuda: $on_cuda; on cpu: $(losses)"
    # What begins on one device does not go on on another: the bytes would not be those of an undisturbed run.
    rm "$folder/cuda.safetensors"
    expect 1 "begun with 'device cuda'" "$folder/cuda.json" --resume
    expect 0 "cuda.safetensors is ready" "$folder/cuda.json" --resume --device cuda
fi
[ "$failures" = 0 ] && echo "train --device cuda: all checks passed"
exit $((failures > 0))
