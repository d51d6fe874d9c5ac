// The kernels that take long to compile, compiled once: the only source file of the library, and one that nobody needs.
// Defined in all of a program, MIA_COMPILED_KERNELS says that this file is part of it (the CMake target mia::kernels
// does both); every other file then compiles in about half the time. The names of the kernels tell the instructions
// that the compiler's flags allow: files built with other flags than this one do not link.
#include "mia/ops/fused_block/fused_block.hpp"
#include "mia/ops/packed_product.hpp"
#include "mia/ops/window_attention/window_attention.hpp"

namespace mia::detail {

#define MIA_KERNELS_OF(T)                                                                                       \
    template void product_rows(const RowsProduct<T>&, int);                                                     \
    template void AttentionPanel<T, KvOrder::tokens_first>::run() const;                                        \
    template void AttentionPanel<T, KvOrder::channels_first>::run() const;                                      \
    template BlockWorker<T>::Counts BlockWorker<T>::run(int, const T*, const Condition<T>&, Reuse, T*, T*, T*,  \
                                                        std::uint8_t*);                                         \
    template void store_kv_panel(const PackedRows<T>&, const Wide<T>*, const Wide<T>*, int, const T*, int, int, \
                                 Lane<T>*, Lane<T>*, T*);

MIA_KERNELS_OF(float)
MIA_KERNELS_OF(double)
MIA_KERNELS_OF(Bf16)
template void product_rows(const RowsProduct<Bf16, float>&, int);

}  // namespace mia::detail
