#!/usr/bin/env bash
# Derives the kernels' table of resources anew and compares it with the one that is committed.
# resources.sh NVCC OUTPUT LAUNCHES... PTXAS...
set -euo pipefail
here=$(dirname "$0") nvcc=$1 output=$2
shift 2
"$nvcc" --version > "$output.version"
launches=() ptxas=()
for file in "$@"; do
    if [[ $file == *.ptxas ]]; then ptxas+=("$file"); else launches+=("$file"); fi
done
cat "${ptxas[@]}" | c++filt | awk -f "$here/resources.awk" "$output.version" "${launches[@]}" - > "$output"
release() { grep -o 'nvcc [0-9.]*' "$1"; }
if [ "$(release "$output")" != "$(release "$here/resources.md")" ]; then
    echo "not compared: the table is of $(release "$here/resources.md"), this is $(release "$output")"
elif ! diff -u "$here/resources.md" "$output"; then
    echo "The kernels take other resources than before. If that is meant: cp $output $here/resources.md"
    exit 1
fi
