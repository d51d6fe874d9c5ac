#!/usr/bin/env bash
# Installs the Debian packages that a build of everything needs; with `--long` those of the long tests too. Does nothing
# when they are there.
set -euo pipefail
packages=(g++ cmake ninja-build pkg-config git libeigen3-dev libgtest-dev libgmock-dev libbenchmark-dev libcli11-dev
          nlohmann-json3-dev libavformat-dev libavcodec-dev libavfilter-dev libavutil-dev libzimg-dev ffmpeg)
[ "${1:-}" != --long ] || packages+=(libboost-context-dev clang clang-format libclang-rt-14-dev)
missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
root=()
[ "$(id -u)" -eq 0 ] || root=(sudo)
echo "Installing: ${missing[*]}"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
