#!/usr/bin/env bash
# Installs what is needed, builds everything for the processor and tests it. With --long also: the CUDA kernels on an
# emulator and by nvcc, projects that use the library, each header alone, a second compiler, sanitizers, builds for older
# processors, fuzzing. Prints the minutes of each stage and stops at the first that fails. With --only NAME: the one stage
# of that name (see the end).
# tests/run.sh [--long | --only NAME]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
long='' only=''
case "${1:-}" in
    --long) long=--long ;;
    --only) long=--long only=${2:?--only needs the name of a stage} ;;
    ?*) echo "unknown option $1: tests/run.sh [--long | --only NAME]"; exit 1 ;;
esac
jobs=$(nproc)
started=$SECONDS
others=''

stage() {  # NAME FUNCTION ARGUMENTS...
    local name=$1 from=$SECONDS
    shift
    [ -z "$only" ] || [ "$only" = "$name" ] || { others+="  $name"$'\n'; return; }
    ran=yes
    echo "==== $name"
    "$@" || { echo "==== $name: FAILED"; exit 1; }
    echo "==== $name: $(((SECONDS - from) / 60)) min $(((SECONDS - from) % 60)) s"
}

build() {  # FOLDER "TARGETS" CMAKE-OPTIONS...
    local folder=$1 targets=$2
    shift 2
    mkdir -p "$folder" || return 1
    cmake -S . -B "$folder" -G Ninja "$@" > "$folder/configure.log" 2>&1 || { cat "$folder/configure.log"; return 1; }
    # shellcheck disable=SC2086
    cmake --build "$folder" -j "$jobs" ${targets:+--target $targets} > "$folder/build.log" 2>&1 ||
        { grep -E 'error:|FAILED:|undefined reference' -A 20 "$folder/build.log" | head -n 200; return 1; }
}

run_tests() {  # FOLDER CTEST-OPTIONS...
    local folder=$1 status
    shift
    ctest --test-dir "$folder" -j "$jobs" --output-on-failure --no-tests=error "$@" > "$folder/tests.log" 2>&1
    status=$?
    grep -vE '^ *(Start +[0-9]+:|[0-9]+/[0-9]+ +Test +#.* Passed )' "$folder/tests.log"
    return $status
}

plain() {
    build build "" -DMIA_LONG_TESTS=OFF && run_tests build || return 1
    # The errors against the official model's numbers, for people to read.
    local folder
    for folder in ops nn models train; do build/tests/mia_test_$folder --gtest_brief=1 | grep 'ERROR  \]'; done
    return 0
}

formatted() { git ls-files '*.hpp' '*.cpp' '*.cuh' '*.cu' | xargs clang-format --dry-run -Werror; }

# CUDA: kernels and programs for two chips by nvcc; kernels, models, programs and benchmarks on the emulator. And projects
# that use the library.
long_tests() {
    build build "" -DMIA_LONG_TESTS=ON && run_tests build -R 'cuda|emulat|^consumer|linked_twice|cut_error'
}

nvcc_for_all() {
    grep -q '^MIA_NVCC:FILEPATH=/' build/CMakeCache.txt || { echo "not compiled: there is no nvcc"; return 0; }
    build build "mia_cuda_other_chips mia_bench_cuda mia_test_cuda_gpu" -DMIA_LONG_TESTS=ON || return 1
    build/tests/cuda/mia_test_cuda_gpu --gtest_brief=1 || [ $? = 77 ] || return 1  # 77: no GPU
    build/bench/mia_bench_cuda --benchmark_min_time=0.001 2>&1 | tee build/bench_cuda.log
    grep -qE 'no GPU|layer_norm/base/cuda' build/bench_cuda.log
}

unit="mia_test_core mia_test_ops mia_test_nn mia_test_models mia_test_io mia_test_metrics mia_test_visual mia_test_train"
cuda="mia_test_cuda_emulation mia_test_cuda"
cuda_tests='^mia_test_cuda(_emulation)?[.]seed_2'
no_programs=(-DMIA_EXAMPLES=OFF -DMIA_BENCHMARKS=OFF)
whole_builds='^(compile_fail|consumer|linked_twice|docs|example|mia_bench|mia_test_cuda|mia_cuda)'  # what the first stages have run

# AVX2 where the machine has it: the first stage has the widest vectors, the last ones none.
avx2=x86-64-v3
grep -q avx2 /proc/cpuinfo || avx2=x86-64

# What clang makes of optimised kernels, and the emulator's own tests by it.
second_compiler() {
    build build-clang "mia_test_core mia_test_ops mia_test_nn mia_test_cuda_emulation" "${no_programs[@]}" \
        -DMIA_LONG_TESTS=ON -DCMAKE_CXX_COMPILER=clang++ -DMIA_ARCH=$avx2 &&
        run_tests build-clang -E "$whole_builds|NOT_BUILT" && run_tests build-clang -R '^mia_test_cuda_emulation'
}

# By clang: so all unit tests are compiled and run by a second compiler, and in a fraction of GCC's time. All but the large
# whole-model goldens; CUDA's ops on the emulator. The flags are those of the kernels.
memory_sanitizers() {
    build build-asan "$unit $cuda mia_test_video" "${no_programs[@]}" -DMIA_LONG_TESTS=ON \
        -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DMIA_SANITIZE=address,undefined -DMIA_ARCH=$avx2 &&
        run_tests build-asan -E "$whole_builds|MiaVsrGolden.(WithMask|StillPicture)" &&
        run_tests build-asan -R "$cuda_tests"
}

# In the kernels also where pointers go, for which clang takes too long.
thread_sanitizer() {
    local cases='Thread|Pool|Pipeline|Queue|TrainGolden'
    build build-tsan "mia_test_core mia_test_train mia_test_video" "${no_programs[@]}" -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_CXX_FLAGS_DEBUG=-O1 -DMIA_SANITIZE=thread "-DMIA_TEST_CASES=$cases" &&
        run_tests build-tsan -R "$cases" -E "$whole_builds|NOT_BUILT"
}

any_processor() {
    build build-x86-64 "mia_test_ops mia_test_nn mia_test_models mia_test_train" "${no_programs[@]}" -DMIA_VIDEO=OFF -DMIA_ARCH=x86-64 \
        -DCMAKE_CXX_FLAGS_RELEASE=-O1 -DMIA_TEST_CASES=Golden &&
        run_tests build-x86-64 -R Golden
}

fuzz() {
    build build-fuzz "fuzz_json fuzz_safetensors fuzz_torch fuzz_y4m fuzz_manifest" "${no_programs[@]}" -DMIA_FUZZ=ON \
        -DCMAKE_CXX_COMPILER=clang++ || return 1
    local name pid pids=() failed=0
    for name in json safetensors torch y4m manifest; do
        mkdir -p build-fuzz/corpus/$name
        build-fuzz/tests/fuzz/fuzz_$name -max_total_time=60 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 \
            build-fuzz/corpus/$name tests/fuzz/seeds/$name > build-fuzz/$name.log 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
    grep 'number_of_executed_units' build-fuzz/*.log
    [ $failed = 0 ] || { tail -n 40 build-fuzz/*.log; return 1; }
}

stage "packages" cmake/debian.sh $long
stage "build and tests" plain
if [ "$long" = --long ]; then
    stage "format" formatted
    stage "CUDA, projects that use mia" long_tests
    stage "each header alone" build build mia_headers_alone
    stage "nvcc: every chip, benchmarks" nvcc_for_all
    stage "clang, AVX2: optimised kernels" second_compiler
    stage "clang: address and undefined behaviour sanitizers" memory_sanitizers
    stage "thread sanitizer" thread_sanitizer
    stage "goldens on any x86-64" any_processor
    stage "fuzzing, a minute for each reader" fuzz
fi
[ -n "${ran:-}" ] || { printf 'no stage is named "%s"; there are\n%s' "$only" "$others"; exit 1; }
echo "all passed in $(((SECONDS - started) / 60)) min"
