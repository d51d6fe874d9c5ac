#pragma once
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

/// Ctrl-C: asks the run to stop, which it does within a step of its work; a second one, or the end of patience, ends
/// the program at once. Whatever is finished stays either way, and nothing else ever has the output's name.
class Interrupt {
public:
    /// One object in a program, made before other threads, so that all of them leave the signals to the one here. A
    /// library may have begun threads of its own when it was loaded (OpenBLAS does): what reaches those is sent on.
    Interrupt(int exit_code, std::string program, std::chrono::seconds patience = std::chrono::seconds(30))
        : exit_code_(exit_code), program_(std::move(program)), patience_(patience) {
        sigemptyset(&signals_);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
            struct sigaction before = {};
            sigaction(signal, nullptr, &before);
            if (before.sa_handler != SIG_IGN) sigaddset(&signals_, signal);  // nohup means what it says
        }
        sigaddset(&signals_, SIGUSR1);  // the destructor's
        pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
        signal(SIGPIPE, SIG_IGN);
        waiter_ = std::thread([this] { wait(); });
        receiver_ = waiter_.native_handle();
        handle([](int signal) { pthread_kill(receiver_, signal); });
    }
    ~Interrupt() {
        handle(SIG_DFL);
        {
            const std::scoped_lock lock(mutex_);
            over_ = true;
        }
        pthread_kill(waiter_.native_handle(), SIGUSR1);  // wakes the waiting thread
        waiter_.join();
    }
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    std::stop_token token() const { return stop_.get_token(); }

private:
    void handle(void (*handler)(int)) {
        struct sigaction action = {};
        action.sa_handler = handler;
        action.sa_flags = SA_RESTART;
        for (const int signal : {SIGINT, SIGTERM, SIGHUP})
            if (sigismember(&signals_, signal)) sigaction(signal, &action, nullptr);
    }
    void wait() {
        int signal = 0;
        sigwait(&signals_, &signal);
        if (is_over()) return;
        stop_.request_stop();
        std::fprintf(stderr, "\n%s: stopping; once more to stop at once\n", program_.c_str());
        const timespec patience{std::time_t(patience_.count()), 0};
        sigtimedwait(&signals_, nullptr, &patience);
        if (is_over()) return;
        std::fprintf(stderr, "%s: interrupted\n", program_.c_str());
        _exit(exit_code_);
    }
    bool is_over() {
        const std::scoped_lock lock(mutex_);
        return over_;
    }

    inline static pthread_t receiver_{};
    int exit_code_;
    std::string program_;
    std::chrono::seconds patience_;
    sigset_t signals_;
    std::stop_source stop_;
    std::mutex mutex_;
    bool over_ = false;
    std::thread waiter_;
};
