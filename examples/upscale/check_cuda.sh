#!/bin/bash
# check_cuda.sh PROGRAM CLIP: runs an upscale that can use CUDA: on a GPU, on the emulator (its name then ends in
# "emulated"), or on a machine without either. Needs the program ffmpeg.
source "$(dirname "$0")/../support/check.sh"

mkdir "$folder/out"
words_of_all=""
nothing_written() { same "written" "$(ls -A "$folder/out")" ""; }

if ! "$program" "$clip" "$folder/out/x.mkv" --summary --device cuda >"$words" 2>&1; then
    expect 1 "upscale: --device cuda: no GPU " "$clip" "$folder/out/x.mkv" --device cuda
    grep -q "Use --device cpu" "$words" || fail "not how to go on: $(cat "$words")"
    same "lines" "$(wc -l <"$words")" 1
    nothing_written
else
    ffmpeg -v error -f lavfi -i testsrc=size=16x12:rate=25 -frames:v 2 -c:v ffv1 "$folder/tiny.mkv" </dev/null
    limit=(--memory 1M)
    [[ $program != *emulated ]] || { limit=() && export MIA_EMULATION_MEMORY=3000000; }
    expect 1 "frames of 16 x 12 need at least " "$folder/tiny.mkv" "$folder/out/x.mkv" --device cuda "${limit[@]}"
    grep -qE "need at least [1-9][0-9]* MB .* The GPU has [1-9][0-9]* MB free; --device cpu" "$words" ||
        fail "not what is needed and free: $(cat "$words")"
    nothing_written
    unset MIA_EMULATION_MEMORY
    psnr_of() {  # A B: between two results, dB
        ffmpeg -v info -i "$folder/out/$1.mkv" -i "$folder/out/$2.mkv" -lavfi psnr -f null - 2>&1 </dev/null |
            sed -n 's/.*PSNR.*average:\([a-z0-9]*\).*/\1/p'
    }
    for run in "fp32 60" "bf16 50"; do  # the least PSNR: 48 dB is every sample off by one
        read -r precision least <<<"$run"
        for device in cuda cpu; do
            expect 0 "is ready" "$folder/tiny.mkv" "$folder/out/$precision.$device.mkv" --codec ffv1 \
                --device $device --precision $precision
        done
        psnr=$(psnr_of "$precision.cuda" "$precision.cpu")
        [ "$psnr" = inf ] || [ "${psnr:-0}" -ge "$least" ] || fail "cuda against cpu in $precision: $psnr dB"
        words_of_all+="${words_of_all:+, }$precision $psnr dB"
    done
    [ "$(psnr_of fp32.cuda bf16.cuda)" != inf ] || fail "--precision changes nothing"
fi
[ "$failures" = 0 ] && echo "upscale --device cuda: all checks passed${words_of_all:+ ($words_of_all)}"
exit $((failures > 0))
