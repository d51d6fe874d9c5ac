#pragma once
#include <string>
#include <vector>

/// A line of a chart: values at x = first, first + step, ...; NaN leaves a gap.
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
    double step = 1;            ///< of x
    bool bridges_gaps = false;  ///< the line goes on where values are missing
};

/// The chart as SVG, self-contained. Empty when there is nothing to draw.
std::string svg(const Chart& chart);
/// Several, one below the other; those with nothing to draw are left out.
std::string svg(const std::vector<Chart>& charts);

/// `words` with what HTML gives a meaning escaped.
std::string html_text(const std::string& words);
