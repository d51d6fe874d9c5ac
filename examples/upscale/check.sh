#!/bin/bash
# check.sh PROGRAM CLIP: runs upscale as a person would, and looks at exit codes, outputs and what is left behind.
# Needs the programs ffmpeg and ffprobe.
set -u
program=$1 clip=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
words=$folder/words.txt
failures=0

fail() {
    printf '%s\n' "$*"
    failures=$((failures + 1))
}
expect() {  # expect CODE WORDS ARGUMENTS...: the exit code, and words that the program must say
    local wanted=$1 said=$2 code=0
    shift 2
    "$program" "$@" >"$words" 2>&1 || code=$?
    if [ "$code" != "$wanted" ] || { [ -n "$said" ] && ! grep -qF -- "$said" "$words"; }; then
        fail "upscale $*: exit code $code, wanted $wanted and \"$said\"; it said: $(cat "$words")"
    fi
}
same() {  # same WHAT A B
    [ "$2" = "$3" ] || fail "$1: \"$2\" and \"$3\""
}
times() { ffprobe -v error -select_streams v -show_entries frame=pts -of csv=p=0 "$1" | tr -dc '0-9\n'; }
sound() { ffmpeg -v error -i "$1" -map 0:a -c copy -f framemd5 - </dev/null; }

expect 0 "is ready" "$clip" "$folder/large.mp4"
same "time stamps" "$(times "$clip")" "$(times "$folder/large.mp4")"
same "sound" "$(sound "$clip")" "$(sound "$folder/large.mp4")"
expect 0 "" "$clip" "$folder/images" --quiet --threads 1
same "quiet" "$(cat "$words")" ""
same "number of images" "$(ls "$folder/images" | wc -l)" "$(times "$clip" | grep -c .)"

expect 0 "Examples" --help
expect 2 "INPUT"
expect 2 "--speed" "$clip" "$folder/x.mp4" --speed 9
expect 2 "--threads" "$clip" "$folder/x.mp4" --threads 0
expect 2 "--mask" "$clip" "$folder/x.mp4" --mask maybe
expect 1 "no such file" "$folder/none.mp4" "$folder/x.mp4"
expect 1 "the output is the input" "$folder/large.mp4" "$folder/large.mp4"
expect 1 "not supported" "$clip" "$folder/x.gif"
expect 1 "not empty" "$clip" "$folder/images"

# Ctrl-C in the middle: 130, and nothing is left.
ffmpeg -v error -f lavfi -i testsrc2=size=320x180:rate=25 -t 60 -c:v mpeg4 "$folder/long.mp4" </dev/null
for output in "$folder/stopped.mp4" "$folder/stopped"; do
    code=0
    timeout --preserve-status --signal INT 1 "$program" "$folder/long.mp4" "$output" >"$words" 2>&1 || code=$?
    same "exit code after Ctrl-C" "$code" 130
    grep -qF interrupted "$words" || fail "after Ctrl-C it said: $(cat "$words")"
done
same "files" "$(ls -A "$folder" | tr '\n' ' ')" "images large.mp4 long.mp4 words.txt "

[ "$failures" = 0 ] && echo "upscale: all checks passed"
exit $((failures > 0))
