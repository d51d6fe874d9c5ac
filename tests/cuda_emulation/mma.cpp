/// Tensor cores: the lanes of a warp show each other their registers, and each computes its part of the result. The
/// layouts are those of the PTX ISA (matrix fragments for mma.m16n8k16, ldmatrix).
#include "emulator.hpp"
#include "mia/core/mma_ptx.cuh"

namespace cuda_emulation {
namespace {

std::array<const void*, limits.threads> shown;  // by each thread of the block

/// Calls f(what lane 0 shows, lane 1 ...) when all lanes have come, and lets none go on before all have looked.
template <class F>
void exchange(const void* mine, Site site, F f) {
    const unsigned index = current->index;
    shown[index] = mine;
    warp_exchange(WarpOp::all, 0xffffffffu, 1, 0, 32, site);
    f(shown.data() + index / 32 * 32);
    warp_exchange(WarpOp::all, 0xffffffffu, 1, 0, 32, site);
}

float element(unsigned pair, unsigned i) { return __bfloat162float({static_cast<unsigned short>(pair >> 16 * i)}); }

}  // namespace

void mma(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2], Site site) {
    struct Registers {
        unsigned a[4], b[2];
    };
    const Inside inside;
    const Registers mine{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    float result[4] = {sum[0], sum[1], sum[2], sum[3]};
    exchange(&mine, site, [&](const void* const* lanes) {
        const auto of = [&](unsigned lane) -> const Registers& { return *static_cast<const Registers*>(lanes[lane]); };
        const unsigned lane = current->index % 32;
        for (unsigned k = 0; k < 16; ++k)
            for (unsigned i = 0; i < 4; ++i) {
                const unsigned n = lane % 4 * 2 + i % 2, pair = k / 2 % 4, upper = k / 8;
                const unsigned a_pair = of(lane / 4 * 4 + pair).a[2 * upper + i / 2];  // i / 2: 8 rows below
                result[i] += element(a_pair, k % 2) * element(of(n * 4 + pair).b[upper], k % 2);
            }
    });
    std::copy(result, result + 4, sum);
}

void load_matrices(unsigned (&to)[4], const void* row, bool transposed, Site site) {
    const void* pc = __builtin_return_address(0);
    const Inside inside;
    const auto address = std::uintptr_t(row);
    if (address % 16 || !emulator().shared.contains(address))
        fail("ldmatrix: a row must be 16 aligned bytes of shared memory, " + show(site));
    unsigned result[4] = {};
    exchange(row, site, [&](const void* const* rows) {
        const unsigned lane = current->index % 32, g = lane / 4, pair = lane % 4 * 2;
        const auto read = [&](unsigned r, unsigned column) {  // in the name of the lane that gets the element
            const auto* elements = static_cast<const unsigned short*>(rows[r]);
            access(std::uintptr_t(elements + column / 2 * 2), 4, 'r', pc);
            return unsigned(elements[column]);
        };
        for (unsigned i = 0; i < 4; ++i)
            result[i] = transposed ? read(8 * i + pair, g) | read(8 * i + pair + 1, g) << 16
                                   : read(8 * i + g, pair) | read(8 * i + g, pair + 1) << 16;
    });
    std::copy(result, result + 4, to);
}

}  // namespace cuda_emulation
