#!/usr/bin/env bash
# Derives the kernels' table of resources anew and compares it with the one that is committed.
# resources.sh NVCC LAUNCHES PTXAS OUTPUT
set -euo pipefail
here=$(dirname "$0") nvcc=$1 launches=$2 ptxas=$3 output=$4
"$nvcc" --version > "$output.version"
c++filt < "$ptxas" | awk -f "$here/resources.awk" "$launches" "$output.version" - > "$output"
release() { grep -o 'nvcc [0-9.]*' "$1"; }
if [ "$(release "$output")" != "$(release "$here/resources.md")" ]; then
    echo "not compared: the table is of $(release "$here/resources.md"), this is $(release "$output")"
elif ! diff -u "$here/resources.md" "$output"; then
    echo "The kernels take other resources than before. If that is meant: cp $output $here/resources.md"
    exit 1
fi
