#pragma once
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "mia/core/count.hpp"
#include "mia/core/module.hpp"

namespace mia {

/// One line of a summary: a module with all that is inside it.
struct SummaryRow {
    std::string path;         ///< as in the checkpoint; "" is the whole model
    std::vector<int> result;  ///< extents of its last result
    std::int64_t parameters = 0;
    std::int64_t macs = 0;  ///< of one frame in a running clip, every token active
};

/// What a model is and costs, for frames of one size, before anything is allocated.
struct Summary {
    int height = 0, width = 0;
    std::vector<SummaryRow> rows;  ///< in the order of the model's members, outer modules first
    std::size_t parameter_bytes = 0;
    std::size_t state_bytes = 0;    ///< what a branch carries from frame to frame
    std::size_t scratch_bytes = 0;  ///< of a clip of `frames` frames
    int frames = 0;

    /// A table for people; modules nested deeper than `depth` are in the sums of the outer ones.
    std::string text(int depth = 2) const {
        char line[512];
        std::string out;
        const auto add = [&](const char* format, auto... values) {
            std::snprintf(line, sizeof line, format, values...);
            out += line;
        };
        int column = 6;  // as wide as the longest path that is shown
        for (const SummaryRow& row : rows)
            if (nesting(row) <= depth) column = std::max(column, int(row.path.size()));
        add("frames of %d x %d\n%-*s  %-18s %12s %10s\n", width, height, column, "module", "result", "parameters",
            "GMAC/frame");
        for (const SummaryRow& row : rows) {
            if (nesting(row) > depth) continue;
            std::string shape;
            for (const int extent : row.result) shape += (shape.empty() ? "" : " x ") + std::to_string(extent);
            add("%-*s  %-18s %12lld %10.3f\n", column, row.path.empty() ? "(all)" : row.path.c_str(), shape.c_str(),
                static_cast<long long>(row.parameters), double(row.macs) / 1e9);
        }
        add("parameters %.1f MB; state of a branch %.1f MB; working memory for %d frames %.1f MB\n",
            double(parameter_bytes) / 1e6, double(state_bytes) / 1e6, frames, double(scratch_bytes) / 1e6);
        return out;
    }

private:
    static int nesting(const SummaryRow& row) {
        return row.path.empty() ? 0 : 1 + int(std::count(row.path.begin(), row.path.end(), '.'));
    }
};

namespace detail {

/// Which module an address belongs to: its own bytes, or those of one of its parameters.
template <class M>
class OwnerMap {
public:
    explicit OwnerMap(const M& module) {
        for_each_module(module, [&](const std::string& path, const auto& inner) { add(&inner, sizeof inner, path); });
        for_each_parameter(module, [&](const std::string& name, const auto& p) {
            add(p.data, std::size_t(p.size) * sizeof(*p.data), name.substr(0, name.find_last_of('.')));
        });
    }
    /// The innermost module that owns the address; "" if none does.
    std::string path(const void* address) const {
        const auto at = reinterpret_cast<std::uintptr_t>(address);
        const Range* best = nullptr;
        for (const Range& r : ranges_)
            if (at >= r.begin && at < r.end && (!best || r.end - r.begin <= best->end - best->begin)) best = &r;
        return best ? best->path : std::string();
    }

private:
    struct Range {
        std::uintptr_t begin, end;
        std::string path;
    };
    void add(const void* data, std::size_t bytes, std::string path) {
        const auto begin = reinterpret_cast<std::uintptr_t>(data);
        ranges_.push_back({begin, begin + bytes, std::move(path)});
    }
    std::vector<Range> ranges_;
};

/// Calls f("a.b.c"), f("a.b"), f("a"), f("").
template <class F>
void each_prefix(std::string path, F f) {
    for (;;) {
        f(path);
        if (path.empty()) return;
        const std::size_t dot = path.find_last_of('.');
        path = dot == std::string::npos ? std::string() : path.substr(0, dot);
    }
}

}  // namespace detail

/// The summary of a model for frames of height x width: its own forward() runs on the counting backend. M: MiaVsr of
/// any configuration and parts, on any backend.
///   std::cout << mia::summary<mia::MiaVsrTiny<>>(180, 320).text();
template <class M>
Summary summary(int height, int width, int frames = 5) {
    using OnCount = typename M::template On<BasicCount<typename M::Scalar>>;
    using C = BasicCount<typename M::Scalar>;
    require(frames >= 5, "summary: ", frames, " frames do not show a running clip; give 5 or more");
    Summary s;
    s.height = height;
    s.width = width;
    s.frames = frames;

    C setup;
    Network<OnCount, C> model(setup);
    s.parameter_bytes = setup.tensor_bytes();
    prepare(setup, *model);
    const detail::OwnerMap owners(*model);

    std::map<std::string, SummaryRow> by_path;
    std::vector<std::string> order;
    for_each_module(std::as_const(*model), [&](const std::string& path, const auto& inner) {
        if (by_path.contains(path)) return;  // a module without a name of its own
        order.push_back(path);
        by_path[path] = {path, {}, parameter_count(inner), 0};
    });
    const auto run = [&](C& count, int T) {
        const auto lqs = count.template scratch<Pixel<C>>(T, height, width, 3),
                   out = count.template scratch<Pixel<C>>(T, M::scale * height, M::scale * width, 3);
        typename OnCount::State state;
        model->forward(count, lqs, out, state);
    };
    // One frame more of a running clip: what a clip of one frame more costs more.
    for (const int sign : {1, -1}) {
        C count;
        run(count, sign > 0 ? frames : frames - 1);
        for (const auto& entry : count.entries())
            detail::each_prefix(owners.path(entry.work.owner), [&](const std::string& path) {
                const auto row = by_path.find(path);
                if (row == by_path.end()) return;
                row->second.macs += sign * entry.work.dense_macs;
                if (sign > 0 && entry.work.owner) row->second.result = entry.result;
            });
        if (sign < 0) continue;
        s.scratch_bytes = count.scratch_peak();
        s.state_bytes = count.tensor_bytes();
    }
    for (const std::string& path : order) s.rows.push_back(by_path[path]);
    if (!s.rows.empty()) s.rows[0].result = {M::scale * height, M::scale * width, 3};
    return s;
}

}  // namespace mia
