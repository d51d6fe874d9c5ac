#pragma once
#include <cstddef>
#include <new>
#include <type_traits>

#include "mia/core/cpu.hpp"

namespace mia::detail {

/// One object a thread for the length of a call, with that thread's scratch; the objects themselves lie in the scratch
/// of the call.
template <class Worker>
class PerThread {
    static_assert(std::is_trivially_destructible_v<Worker>);

public:
    template <class T, class Make>
    PerThread(BasicCpu<T>& cpu, Make make) : count_(cpu.threads()) {
        slots_ = reinterpret_cast<Slot*>(cpu.template scratch<std::byte>(count_ * int(sizeof(Slot))).data);
        for (int i = 0; i < count_; ++i) {
            Arena& arena = cpu.worker_scratch(i);
            const auto position = arena.position();
            new (slots_ + i) Slot{make(arena), &arena, position};
        }
    }
    ~PerThread() {
        for (int i = 0; i < count_; ++i) slots_[i].arena->release(slots_[i].position);
    }
    PerThread(const PerThread&) = delete;
    PerThread& operator=(const PerThread&) = delete;
    Worker& operator[](int index) { return slots_[index].worker; }

private:
    struct Slot {
        Worker worker;
        Arena* arena;
        Arena::Position position;
    };
    Slot* slots_;
    int count_;
};

}  // namespace mia::detail
