# What the programs' check.sh share; they source it with their own arguments, PROGRAM CLIP. Files go to $folder, and what
# the program said last is in $words.
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
        fail "$(basename "$program") $*: exit code $code, wanted $wanted and \"$said\"; it said: $(cat "$words")"
    fi
}
same() {  # same WHAT A B
    [ "$2" = "$3" ] || fail "$1: \"$2\" and \"$3\""
}
