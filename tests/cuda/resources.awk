# What each kernel takes of a chip, from three kinds of files: launches of the emulated tests (MIA_EMULATION_LAUNCHES:
# threads, bytes of shared memory, kernel), nvcc's version, and what ptxas says with -v, demangled. Prints the table
# resources.md; fails when a kernel was compiled and never launched. (Spills are errors of the compilation.)
# each_element() and each_in_rows() take as many threads as there are elements, or in a row, at most 256: frames have
# more, tests fewer.
# Occupancy: resident warps as a share of the 64 that a multiprocessor of compute capability 8.0 or 9.0 holds (CUDA C++
# Programming Guide, technical specifications): 32 blocks, 65,536 registers, given to a warp in pieces of 256 and to
# four warps at a time, 164 or 228 KiB of shared memory of which each block takes 1 KiB more than it asks for.
# The first file of launches that has a kernel decides: the ops' tests come before those of models, whose sizes change.
# awk -f resources.awk VERSION LAUNCHES... PTXAS...

function kernel_name(words) {  # without namespaces, result and parameters
    sub(/^void /, "", words)
    sub(/\(.*/, "", words)
    gsub(/mia::detail::/, "", words)
    gsub(/mia::/, "", words)
    gsub(/ >/, ">", words)
    return words
}
function least(a, b) { return a < b ? a : b }
function occupancy(chip, kernel,    warps, blocks) {
    warps = int((threads[kernel] + 31) / 32)
    blocks = least(32, int(64 / warps))
    blocks = least(blocks, int(int(65536 / (int((registers[chip, kernel] + 7) / 8) * 256) / 4) * 4 / warps))
    blocks = least(blocks, int((chip == "sm_80" ? 164 : 228) * 1024 / (shared[kernel] + fixed[chip, kernel] + 1024)))
    return blocks * warps / 64
}

/^[0-9]+ [0-9]+ void mia::/ {
    name = $0
    sub(/^[0-9]+ [0-9]+ /, "", name)
    name = kernel_name(name)
    if (!(name in source)) source[name] = FILENAME
    if (source[name] != FILENAME) next
    if ($1 > threads[name]) threads[name] = $1
    if ($2 > shared[name]) shared[name] = $2
}
/^Cuda compilation tools/ { release = $5; sub(/,/, "", release) }
/Compiling entry function/ {
    kernel = $0
    sub(/^[^']*'/, "", kernel)
    chip = kernel
    sub(/.*' for '/, "", chip)
    sub(/'.*/, "", chip)
    is_ours = kernel ~ /^void mia::/  # else CUB's
    kernel = kernel_name(kernel)
    if (kernel ~ /^each_(element|in_rows)_kernel/ && kernel in threads) threads[kernel] = 256
    if (is_ours && !(kernel in known)) { known[kernel] = 1; kernels[++count] = kernel }
}
/Used [0-9]+ registers/ && is_ours {
    match($0, /Used [0-9]+/)
    registers[chip, kernel] = substr($0, RSTART + 5, RLENGTH - 5)
    if (match($0, /[0-9]+ bytes smem/)) fixed[chip, kernel] = substr($0, RSTART, RLENGTH) + 0
}

END {
    print "# What the kernels take of a chip\n"
    print "Derived, not measured: registers by nvcc " release ", threads and shared memory of the largest launch in the emulated"
    print "tests, occupancy from both. A build compares this table with what it finds, when nvcc is of the same release.\n"
    print "| kernel | threads | shared memory, bytes | registers, sm_80 | sm_90 | occupancy, sm_80 | sm_90 |"
    print "|---|---|---|---|---|---|---|"
    for (i = 2; i <= count; ++i)  # by name
        for (j = i; j > 1 && kernels[j - 1] > kernels[j]; --j) {
            name = kernels[j]; kernels[j] = kernels[j - 1]; kernels[j - 1] = name
        }
    for (i = 1; i <= count; ++i) {
        kernel = kernels[i]
        if (!(kernel in threads)) {
            print kernel " is compiled, and no emulated test launches it" > "/dev/stderr"
            failed = 1
            continue
        }
        printf "| `%s` | %d | %d | %d | %d | %.2f | %.2f |\n", kernel, threads[kernel], shared[kernel],
            registers["sm_80", kernel], registers["sm_90", kernel], occupancy("sm_80", kernel), occupancy("sm_90", kernel)
    }
    exit failed
}
