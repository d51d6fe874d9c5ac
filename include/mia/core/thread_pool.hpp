#pragma once
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/core/simd.hpp"

namespace mia {

/// A fixed number of threads that share loops; the calling thread is one of them. No globals: pools do not meet.
class ThreadPool {
public:
    /// threads >= 1; with 1 no thread is started.
    explicit ThreadPool(int threads) {
        require(threads >= 1 && threads <= 1024, "ThreadPool: ", threads,
                " threads asked for; give a number from 1 to 1024");
        workers_.reserve(std::size_t(threads - 1));
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    }
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;
    ~ThreadPool() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        wake_.notify_all();
        for (std::thread& worker : workers_) worker.join();
    }

    int threads() const { return int(workers_.size()) + 1; }

    /// Calls f(begin, end, worker) for pieces of [0, count) of at most `grain` (a multiple of it apart), each once, on
    /// all threads, with denormals flushed; returns when all are done. worker: 0 ... threads() - 1. Which worker takes
    /// which piece is left open, so f's results must not depend on it. The first exception of an f is rethrown here.
    /// Must not be called from within f, nor by two threads at once.
    template <class F>
    void parallel_for(std::ptrdiff_t count, std::ptrdiff_t grain, F&& f) {
        if (count <= 0) return;
        grain = std::max<std::ptrdiff_t>(grain, 1);
        if (workers_.empty() || count <= grain) {
            const simd::FlushDenormals flush;
            for (std::ptrdiff_t begin = 0; begin < count;) {
                const std::ptrdiff_t end = begin + std::min(grain, count - begin);
                f(begin, end, 0);
                begin = end;
            }
            return;
        }
        using Function = std::remove_reference_t<F>;
        Loop loop{[](void* context, std::ptrdiff_t begin, std::ptrdiff_t end, int worker) {
                      (*static_cast<Function*>(context))(begin, end, worker);
                  },
                  const_cast<void*>(static_cast<const void*>(std::addressof(f))), count, grain};
        {
            const std::lock_guard lock(mutex_);
            loop_ = &loop;
            running_ = int(workers_.size());
            ++generation_;
        }
        wake_.notify_all();
        run(loop, 0);
        std::unique_lock lock(mutex_);
        done_.wait(lock, [&] { return running_ == 0; });
        if (loop.error) std::rethrow_exception(loop.error);
    }

private:
    struct Loop {
        void (*call)(void*, std::ptrdiff_t, std::ptrdiff_t, int);
        void* context;
        std::ptrdiff_t count, grain;
        std::atomic<std::ptrdiff_t> next = 0;
        std::exception_ptr error = nullptr;  // guarded by mutex_
    };

    void run(Loop& loop, int worker) {
        const simd::FlushDenormals flush;
        try {
            for (;;) {
                const std::ptrdiff_t begin = loop.next.fetch_add(loop.grain, std::memory_order_relaxed);
                if (begin >= loop.count) return;
                loop.call(loop.context, begin, std::min(begin + loop.grain, loop.count), worker);
            }
        } catch (...) {
            loop.next = loop.count;
            const std::lock_guard lock(mutex_);
            if (!loop.error) loop.error = std::current_exception();
        }
    }

    void work(int worker) {
        for (long seen = 0;;) {
            Loop* loop;
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
                if (stop_) return;
                seen = generation_;
                loop = loop_;
            }
            run(*loop, worker);
            const std::lock_guard lock(mutex_);
            if (--running_ == 0) done_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, done_;
    Loop* loop_ = nullptr;
    long generation_ = 0;
    int running_ = 0;
    bool stop_ = false;
    std::vector<std::thread> workers_;
};

}  // namespace mia
