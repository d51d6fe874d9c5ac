#!/usr/bin/env bash
# Installs what is needed, builds everything and runs all tests. With --long also: a second compiler, sanitizers, builds for
# older processors, fuzzing. Prints the minutes of each stage.  tests/run.sh [--long]
set -euo pipefail
cd "$(dirname "$0")/.."
long=${1:-}
jobs=$(nproc)
started=$SECONDS
stage() {
    local name=$1 from=$SECONDS
    shift
    echo "==== $name"
    "$@"
    echo "==== $name: $(((SECONDS - from) / 60)) min $(((SECONDS - from) % 60)) s"
}

# build FOLDER "TARGETS" CMAKE-OPTIONS...
build() {
    local folder=$1 targets=$2
    shift 2
    cmake -S . -B "$folder" -G Ninja "$@" > "$folder.configure.log" 2>&1 || { cat "$folder.configure.log"; return 1; }
    # shellcheck disable=SC2086
    cmake --build "$folder" -j "$jobs" ${targets:+--target $targets} > "$folder.build.log" 2>&1 ||
        { grep -E 'error|FAILED' -A 20 "$folder.build.log" | head -n 200; return 1; }
}
run_tests() {  # FOLDER CTEST-OPTIONS...
    local folder=$1
    shift
    ctest --test-dir "$folder" -j "$jobs" --output-on-failure "$@" | grep -vE '^ *(Start|[0-9]+/[0-9]+ Test .* Passed)' || true
    return "${PIPESTATUS[0]}"
}
plain() {
    build build "" && run_tests build
    # The errors against the official model's numbers, for people to read.
    for folder in ops nn models; do build/tests/mia_test_$folder --gtest_brief=1 | grep 'ERROR  \]' || true; done
}

stage "packages" cmake/debian.sh $long
stage "build and tests" plain

if [ "$long" = --long ]; then
    unit="mia_test_core mia_test_ops mia_test_nn mia_test_models mia_test_io"
    no_programs=(-DMIA_EXAMPLES=OFF -DMIA_BENCHMARKS=OFF)
    some() { ctest --test-dir "$1" -N "${@:2}" | tail -n 1; run_tests "$@"; }

    formatted() { git ls-files '*.hpp' '*.cpp' | xargs clang-format --dry-run -Werror; }
    stage "format" formatted

    clang() {
        build build-clang "$unit mia_test_video" "${no_programs[@]}" -DCMAKE_CXX_COMPILER=clang++
        some build-clang -E '^(compile_fail|consumer|linked|docs|example|mia_bench)'
    }
    stage "clang" clang

    sanitizers() {  # all but the large whole-model goldens
        build build-asan "$unit mia_test_video" "${no_programs[@]}" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1 \
            -DMIA_SANITIZE=address,undefined
        some build-asan -E '^(compile_fail|consumer|linked|docs|example|mia_bench|MiaVsrGolden.*(WithMask|StillPicture))'
    }
    stage "address and undefined behaviour sanitizers" sanitizers

    threads() {
        build build-tsan "mia_test_core mia_test_video" "${no_programs[@]}" -DCMAKE_BUILD_TYPE=Debug \
            -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DMIA_SANITIZE=thread
        build-tsan/tests/mia_test_core --gtest_brief=1 --gtest_filter='*Thread*:*Pool*'
        build-tsan/tests/mia_test_video --gtest_brief=1 --gtest_filter='*Pipeline*:*Queue*'
    }
    stage "thread sanitizer" threads

    for arch in x86-64 x86-64-v3; do
        # What this machine can run of it: AVX2 is not everywhere.
        [ "$arch" = x86-64 ] || grep -q avx2 /proc/cpuinfo || continue
        older() {
            build "build-$arch" "mia_test_ops mia_test_nn mia_test_models" "${no_programs[@]}" -DMIA_VIDEO=OFF -DMIA_ARCH=$arch
            some "build-$arch" -R 'Golden'
        }
        stage "goldens on $arch" older
    done

    fuzz() {
        build build-fuzz "fuzz_json fuzz_safetensors fuzz_torch" "${no_programs[@]}" -DMIA_VIDEO=OFF -DMIA_FUZZ=ON \
            -DCMAKE_CXX_COMPILER=clang++
        local name pids=()
        for name in json safetensors torch; do
            mkdir -p build-fuzz/corpus/$name
            build-fuzz/tests/fuzz/fuzz_$name -max_total_time=60 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
                build-fuzz/corpus/$name tests/fuzz/seeds/$name > build-fuzz/$name.log 2>&1 &
            pids+=($!)
        done
        local failed=0
        for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
        grep -h 'number_of_executed_units' build-fuzz/*.log
        [ $failed = 0 ] || { tail -n 40 build-fuzz/*.log; return 1; }
    }
    stage "fuzzing, a minute for each reader" fuzz
fi
echo "all passed in $(((SECONDS - started) / 60)) min"
