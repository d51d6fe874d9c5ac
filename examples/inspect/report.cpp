#include "inspect/report.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <limits>

#include "mia/core/error.hpp"
#include "mia/version.hpp"
#include "support/chart.hpp"

namespace {

/// RFC 4648.
std::string base64(const std::string& bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t group = 0;
        for (std::size_t k = 0; k < 3; ++k)
            group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k) out += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
    return out;
}

/// Share of skipped tokens of each block over time.
Chart skipped_chart(const RunRecord& run) {
    Chart chart{"Tokens skipped", "%", "frame", double(run.frames.front().number), true, {}};
    std::size_t branches = 0;
    for (const FrameRecord& frame : run.frames) branches = std::max(branches, frame.branches.size());
    double most = 0;
    for (std::size_t b = 0; b < branches; ++b) {
        std::size_t blocks = 0;
        for (const FrameRecord& frame : run.frames)
            if (b < frame.branches.size()) blocks = std::max(blocks, frame.branches[b].kept.size());
        for (std::size_t k = 0; k < blocks; ++k) {
            Series series{mia::text("branch ", b + 1, ", block ", k + 1), {}};
            for (const FrameRecord& frame : run.frames) {
                const bool known = b < frame.branches.size() && k < frame.branches[b].kept.size();
                series.values.push_back(known ? 100 * (1 - frame.branches[b].kept[k])
                                              : std::numeric_limits<double>::quiet_NaN());
                if (known) most = std::max(most, series.values.back());
            }
            chart.series.push_back(std::move(series));
        }
    }
    if (most == 0) chart.series.clear();
    return chart;
}

Chart time_chart(const RunRecord& run) {
    Chart chart{"Time of the branches", "ms", "frame", double(run.frames.front().number), true, {}};
    std::size_t branches = 0;
    for (const FrameRecord& frame : run.frames) branches = std::max(branches, frame.branches.size());
    for (std::size_t b = 0; b < branches; ++b) {
        Series series{mia::text("branch ", b + 1), {}};
        for (const FrameRecord& frame : run.frames)
            series.values.push_back(b < frame.branches.size() ? 1000 * frame.branches[b].seconds
                                                              : std::numeric_limits<double>::quiet_NaN());
        chart.series.push_back(std::move(series));
    }
    return chart;
}

Chart quality_chart(const RunRecord& run) {
    Chart chart{"Quality against the truth", "PSNR-Y, dB", "frame", double(run.frames.front().number), false, {}};
    if (!run.frames.front().model) return chart;
    chart.series = {{"model", {}}, {"bicubic", {}}};
    for (const FrameRecord& frame : run.frames) {
        chart.series[0].values.push_back(frame.model->psnr_y);
        chart.series[1].values.push_back(frame.bicubic->psnr_y);
    }
    return chart;
}

std::string quality_table(const RunRecord& run) {
    mia::MeanQuality model, bicubic;
    for (const FrameRecord& frame : run.frames) {
        if (!frame.model) return {};
        model.add(*frame.model);
        bicubic.add(*frame.bicubic);
    }
    std::string out = "<table><tr><th></th><th>PSNR-Y</th><th>SSIM-Y</th><th>PSNR-RGB</th><th>SSIM-RGB</th></tr>\n";
    for (const auto& [name, q] : {std::pair{"model", model.mean()}, {"bicubic", bicubic.mean()}}) {
        char row[256];
        std::snprintf(row, sizeof row, "<tr><td>%s</td><td>%.3f</td><td>%.4f</td><td>%.3f</td><td>%.4f</td></tr>\n",
                      name, q.psnr_y, q.ssim_y, q.psnr_rgb, q.ssim_rgb);
        out += row;
    }
    return out + "</table>\n";
}

constexpr const char* style =
    "body{font:15px/1.45 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"
    "pre{background:#f5f5f5;padding:.8em;overflow-x:auto;font-size:13px}"
    "table{border-collapse:collapse}td,th{padding:.2em .9em .2em 0;text-align:left;vertical-align:top}"
    "figure{margin:1.2em 0}img{max-width:100%;height:auto;border:1px solid #ddd}figcaption{color:#555;font-size:13px}"
    "svg{width:100%;height:auto;margin:.6em 0}";

}  // namespace

void HtmlReport::add_picture(std::string caption, std::string png) {
    pictures_.emplace_back(std::move(caption), std::move(png));
}

void HtmlReport::write(const std::filesystem::path& path, const std::string& title,
                       const std::vector<std::string>& facts,
                       const std::vector<std::pair<std::string, std::string>>& settings, const RunRecord& run) const {
    mia::require(!run.frames.empty(), path.string(), ": no frame was computed, there is nothing to report.");
    std::ofstream file(path, std::ios::binary);
    file << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>" << html_text(title)
         << "</title>\n<style>" << style << "</style></head><body>\n<h1>" << html_text(title) << "</h1>\n";
    for (const std::string& fact : facts) file << "<pre>" << html_text(fact) << "</pre>\n";

    file << "<h2>Run</h2>\n<table>\n";
    for (const auto& [name, value] : settings)
        file << "<tr><td>" << html_text(name) << "</td><td>" << html_text(value) << "</td></tr>\n";
    char words[160];
    std::snprintf(words, sizeof words, "%.2f s, of which %.2f s for neighbours of chunks whose results were not used",
                  run.seconds, std::max(0., run.context_seconds));
    file << "<tr><td>time in the branches</td><td>" << words << "</td></tr>\n</table>\n";

    file << "<h2>Over time</h2>\n" << svg(quality_chart(run)) << quality_table(run);
    const std::string skipped = svg(skipped_chart(run));
    file << (skipped.empty() ? "<p>No token was skipped: the model has no mask, or it is off.</p>\n" : skipped)
         << svg(time_chart(run));

    if (!pictures_.empty()) file << "<h2>Pictures</h2>\n";
    for (const auto& [caption, png] : pictures_)
        file << "<figure><img alt=\"" << html_text(caption) << "\" src=\"data:image/png;base64," << base64(png)
             << "\"><figcaption>" << html_text(caption) << "</figcaption></figure>\n";
    file << "<p>mia " << MIA_VERSION_MAJOR << '.' << MIA_VERSION_MINOR << '.' << MIA_VERSION_PATCH
         << "</p>\n</body></html>\n";
    file.close();
    mia::require(bool(file), path.string(), ": the report cannot be written. Check the folder and its permissions.");
}
