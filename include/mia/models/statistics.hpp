#pragma once
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "mia/core/backend.hpp"

namespace mia {

/// What a part of a model did.
struct ModuleStatistics {
    std::string module;   ///< "flow", "conv_first", "backward_1 blocks", "upsampler", ...
    double seconds = 0;   ///< on the clock of the wall
    WorkCount work = {};  ///< as the backend counts it; done for the tokens that were kept
};

/// Shares out a model's time and work among its modules: what happens between two calls belongs to the module that the
/// second one names. `done` counts the work since some reset; start() begins anew after one.
class ModuleClock {
public:
    explicit ModuleClock(const std::vector<std::string>& modules) {
        for (const std::string& name : modules) modules_.push_back({name});
    }
    void start(const WorkCount& done) {
        done_ = done;
        time_ = Clock::now();
    }
    void lap(std::size_t module, const WorkCount& done) {
        ModuleStatistics& m = modules_[module];
        const Clock::time_point now = Clock::now();
        m.seconds += std::chrono::duration<double>(now - time_).count();
        for (const auto count :
             {&WorkCount::macs, &WorkCount::dense_macs, &WorkCount::tokens, &WorkCount::active_tokens})
            m.work.*count += done.*count - done_.*count;
        time_ = now;
        done_ = done;
    }
    const std::vector<ModuleStatistics>& modules() const { return modules_; }

private:
    using Clock = std::chrono::steady_clock;
    std::vector<ModuleStatistics> modules_;
    WorkCount done_;
    Clock::time_point time_ = Clock::now();
};

}  // namespace mia
