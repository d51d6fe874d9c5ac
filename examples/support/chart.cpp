#include "support/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <limits>

namespace {

constexpr double width = 760, height = 260, left = 56, right = 16, top = 36, bottom = 40;

// Okabe and Ito's palette, which does not depend on telling red from green.
constexpr std::array<const char*, 8> palette = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                "#e69f00", "#56b4e9", "#000000", "#b8a800"};

std::string format(const char* pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    char words[256];
    std::vsnprintf(words, sizeof words, pattern, arguments);
    va_end(arguments);
    return words;
}

/// 1, 2 or 5 times a power of ten: the distance of about `count` ticks over `range`.
double tick_step(double range, int count) {
    const double rough = range / count, power = std::pow(10, std::floor(std::log10(rough)));
    for (const double step : {1., 2., 5.})
        if (step * power >= rough) return step * power;
    return 10 * power;
}

/// An axis from `low` to `high`, drawn from `from` to `to`.
struct Axis {
    double low, high, from, to, step;
    double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
    double first_tick() const { return std::ceil(low / step - 1e-9) * step; }
};

std::string tick_text(double value, double step) {
    return format("%.*f", std::max(0, int(std::ceil(-std::log10(step) - 1e-9))),
                  std::abs(value) < step / 2 ? 0 : value);
}

Axis value_axis(const Chart& chart) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const Series& series : chart.series)
        for (const double value : series.values)
            if (std::isfinite(value)) {
                low = std::min(low, value);
                high = std::max(high, value);
            }
    if (low > high) low = high = 0;
    if (chart.from_zero) low = std::min(0., low);
    if (high - low < 1e-9) high = low + 1;
    const double step = tick_step(high - low, 5);
    return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, height - bottom, top, step};
}

constexpr std::size_t most_dots = 100;  // of a line; more would hide it

std::string polyline(const Series& series, const Chart& chart, const Axis& x, const Axis& y, const char* color) {
    const auto drawn = std::size_t(std::ranges::count_if(series.values, [](double v) { return std::isfinite(v); }));
    std::string out, points;
    const auto end = [&] {
        if (!points.empty())
            out += "<polyline fill=\"none\" stroke=\"" + std::string(color) + "\" stroke-width=\"2\" points=\"" +
                   points + "\"/>\n";
        points.clear();
    };
    for (std::size_t i = 0; i < series.values.size(); ++i) {
        const double value = series.values[i];
        if (!std::isfinite(value)) {
            if (!chart.bridges_gaps) end();
            continue;
        }
        const double at = chart.first + chart.step * double(i), px = x(at), py = y(value);
        points += format("%.1f,%.1f ", px, py);
        if (drawn > most_dots) continue;
        out += format("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"><title>", px, py, color) +
               html_text(series.name) + format(", %g: %.4g</title></circle>\n", at, value);
    }
    end();
    return out;
}

/// With the legend.
double height_of(const Chart& chart) { return height + 20 * double((chart.series.size() + 3) / 4); }

}  // namespace

std::string svg(const std::vector<Chart>& charts) {
    double below = 0;
    std::string out;
    for (const Chart& chart : charts) {
        std::string one = svg(chart);
        if (one.empty()) continue;
        one.insert(std::string("<svg").size(),
                   format(" y=\"%g\" width=\"%g\" height=\"%g\"", below, width, height_of(chart)));
        out += one;
        below += height_of(chart);
    }
    if (out.empty()) return {};
    return format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\">\n", width, below) + out +
           "</svg>\n";
}

std::string svg(const Chart& chart) {
    std::size_t count = 0;
    for (const Series& series : chart.series) count = std::max(count, series.values.size());
    if (count == 0) return {};
    const Axis y = value_axis(chart);
    const double last = chart.first + chart.step * double(std::max<std::size_t>(count, 2) - 1);
    const Axis x{chart.first, last, left, width - right, std::max(chart.step, tick_step(last - chart.first, 10))};
    std::string out = format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" role=\"img\" "
        "font-family=\"sans-serif\" font-size=\"12\">\n",
        width, height_of(chart));
    out += "<title>" + html_text(chart.title) + "</title>\n";
    out += format("<text x=\"%g\" y=\"18\" font-size=\"14\" font-weight=\"bold\">", left) + html_text(chart.title) +
           "</text>\n";
    out += format("<text x=\"%g\" y=\"18\" text-anchor=\"end\" fill=\"#555\">", width - right) + html_text(chart.unit) +
           "</text>\n";
    for (double tick = y.first_tick(); tick <= y.high + y.step / 2; tick += y.step) {
        out += format("<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", left, width - right,
                      y(tick), y(tick));
        out += format("<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\" fill=\"#555\">", left - 6, y(tick) + 4) +
               tick_text(tick, y.step) + "</text>\n";
    }
    for (double tick = x.first_tick(); tick <= x.high + 1e-9; tick += x.step)
        out +=
            format("<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\" fill=\"#555\">", x(tick), height - bottom + 16) +
            tick_text(tick, x.step) + "</text>\n";
    out += format("<text x=\"%g\" y=\"%g\" text-anchor=\"middle\" fill=\"#555\">", (left + width - right) / 2,
                  height - bottom + 32) +
           html_text(chart.x_name) + "</text>\n";
    for (std::size_t i = 0; i < chart.series.size(); ++i) {
        const char* color = palette[i % palette.size()];
        out += polyline(chart.series[i], chart, x, y, color);
        const double at = left + double(i % 4) * (width - left - right) / 4, line = height + 20 * double(i / 4) + 8;
        out +=
            format("<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\"/><text x=\"%.1f\" y=\"%.1f\">",
                   at, line - 10, color, at + 18, line) +
            html_text(chart.series[i].name) + "</text>\n";
    }
    return out + "</svg>\n";
}

std::string html_text(const std::string& words) {
    std::string out;
    for (const char c : words) switch (c) {
            case '&':
                out += "&amp;";
                break;
            case '<':
                out += "&lt;";
                break;
            case '>':
                out += "&gt;";
                break;
            case '"':
                out += "&quot;";
                break;
            default:
                out += c;
        }
    return out;
}
