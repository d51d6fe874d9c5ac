#include "support/table.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include "mia/core/error.hpp"
#include "mia/io/json.hpp"

namespace {

std::string key(const std::string& column) {
    std::string name;
    for (const char c : column)
        name += std::isalnum(static_cast<unsigned char>(c)) ? char(std::tolower(static_cast<unsigned char>(c))) : '_';
    return name;
}

std::string csv_cell(const std::string& words) {
    if (words.find_first_of(",\"\r\n") == words.npos) return words;
    std::string quoted = "\"";
    for (const char c : words) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

std::string json_cell(const Cell& cell) {
    if (cell.is_number) return cell.text == "inf" ? "null" : cell.text;
    return cell.text.empty() ? "null" : mia::json_string(cell.text);
}

/// Characters that a terminal shows: bytes that do not continue a UTF-8 sequence.
std::size_t width_of(const std::string& words) {
    return std::size_t(std::count_if(words.begin(), words.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace

Cell::Cell(double number, int decimals) : is_number(true) {
    char words[64];
    std::snprintf(words, sizeof words, "%.*f", decimals, number);
    text = std::isinf(number) ? "inf" : words;
}

void Table::add(std::vector<Cell> row) {
    mia::require(row.size() == columns_.size(), "Table: a row of ", row.size(), " cells, there are ", columns_.size(),
                 " columns. Give one cell for each.");
    rows_.push_back(std::move(row));
}

std::string Table::text() const {
    std::vector<std::size_t> widths;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
        widths.push_back(width_of(columns_[c]));
        for (const auto& row : rows_) widths[c] = std::max(widths[c], width_of(row[c].text));
    }
    std::string out;
    const auto put = [&](std::size_t c, const std::string& words, bool to_right) {
        const std::string space(widths[c] - width_of(words), ' ');
        out += c > 0 ? "  " : "";
        out += to_right ? space + words : words + space;
    };
    const auto end_line = [&] {
        out.erase(out.find_last_not_of(' ') + 1);
        out += '\n';
    };
    for (std::size_t c = 0; c < columns_.size(); ++c) put(c, columns_[c], !rows_.empty() && rows_[0][c].is_number);
    end_line();
    for (const auto& row : rows_) {
        for (std::size_t c = 0; c < row.size(); ++c) put(c, row[c].text, row[c].is_number);
        end_line();
    }
    return out;
}

std::string Table::csv() const {
    std::string out;
    for (std::size_t c = 0; c < columns_.size(); ++c) out += (c > 0 ? "," : "") + key(columns_[c]);
    out += "\r\n";
    for (const auto& row : rows_) {
        for (std::size_t c = 0; c < row.size(); ++c) out += (c > 0 ? "," : "") + csv_cell(row[c].text);
        out += "\r\n";
    }
    return out;
}

std::string Table::json() const {
    std::string out = "[";
    for (std::size_t r = 0; r < rows_.size(); ++r) {
        out += r > 0 ? ",\n  {" : "\n  {";
        for (std::size_t c = 0; c < columns_.size(); ++c)
            out += (c > 0 ? ", " : "") + mia::json_string(key(columns_[c])) + ": " + json_cell(rows_[r][c]);
        out += '}';
    }
    return out + "\n]";
}
