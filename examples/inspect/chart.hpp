#pragma once
#include <string>
#include <vector>

/// A line of a chart: values at x = first, first + 1, ...; NaN leaves a gap.
struct Series {
    std::string name;
    std::vector<double> values;
};

struct Chart {
    std::string title, unit;  ///< the unit of the values stands above the axis
    std::string x_name = "frame";
    double first = 0;        ///< x of the first value
    bool from_zero = false;  ///< the axis begins at 0
    std::vector<Series> series;
};

/// The chart as SVG, self-contained. Empty when there is nothing to draw.
std::string svg(const Chart& chart);

/// `words` with what HTML gives a meaning escaped.
std::string html_text(const std::string& words);
