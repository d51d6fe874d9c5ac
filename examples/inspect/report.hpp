#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "inspect/frame_pictures.hpp"
#include "inspect/model_run.hpp"

/// A run as one HTML file that needs nothing else: charts as SVG, pictures inside.
class HtmlReport {
public:
    /// A picture with what it shows. `png`: the bytes of a PNG file.
    void add_picture(std::string caption, std::string png);

    /// `facts`: texts about the file and the model, as they are printed; `settings`: names and values. Error when the
    /// file cannot be written.
    void write(const std::filesystem::path& path, const std::string& title, const std::vector<std::string>& facts,
               const std::vector<std::pair<std::string, std::string>>& settings, const RunRecord& run) const;

private:
    std::vector<std::pair<std::string, std::string>> pictures_;  // caption, PNG
};
