#pragma once
#include <cstdint>
#include <string>
#include <vector>

/// What stands in a table: a text, a number, or nothing.
struct Cell {
    std::string text;
    bool is_number = false;

    Cell() = default;
    Cell(std::string words) : text(std::move(words)) {}
    Cell(const char* words) : text(words) {}
    Cell(std::int64_t number) : text(std::to_string(number)), is_number(true) {}
    Cell(double number, int decimals);
};

/// A table for people, for spreadsheets and for programs. Columns are named as people read them ("PSNR-Y"); in CSV and
/// JSON the name is in lower case, with underscores (psnr_y).
class Table {
public:
    explicit Table(std::vector<std::string> columns) : columns_(std::move(columns)) {}

    /// One cell for each column.
    void add(std::vector<Cell> row);

    std::string text() const;  ///< columns aligned, numbers to the right
    std::string csv() const;   ///< RFC 4180, "inf" where a number is infinite
    std::string json() const;  ///< an array of objects; null for nothing and for what is infinite

private:
    std::vector<std::string> columns_;
    std::vector<std::vector<Cell>> rows_;
};
