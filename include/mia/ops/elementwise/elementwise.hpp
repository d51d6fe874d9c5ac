#pragma once
#include "mia/core/backend.hpp"
#include "mia/core/count.hpp"
#include "mia/ops/epilogue.hpp"

// Contract. All views have the same number of elements; y may be any of the inputs.
//   add:      y = a + b
//   activate: y = activation(x)
//   copy:     y = x
//   fill_zero: y = 0, of any element type
//   add_flows: y = a + b for flows (H, W, 2), which are float whatever the backend's element type

namespace mia {

template <class T>
void add(BasicCount<T>& count, In<T, 2>, In<T, 2>, Out<T, 2> y) {
    count.record({"add"}, y);
}
template <class T>
void activate(BasicCount<T>& count, In<T, 2>, Activation, Out<T, 2> y) {
    count.record({"activate"}, y);
}
template <class T>
void copy(BasicCount<T>& count, In<T, 2>, Out<T, 2> y) {
    count.record({"copy"}, y);
}
template <class T, class U, int Rank>
void fill_zero(BasicCount<T>& count, View<U, Rank> y) {
    count.record({"fill_zero"}, y);
}
template <class T>
void add_flows(BasicCount<T>& count, View<const float, 3>, View<const float, 3>, View<float, 3> y) {
    count.record({"add_flows"}, y);
}

}  // namespace mia

#include "mia/ops/elementwise/elementwise_cpu.hpp"
