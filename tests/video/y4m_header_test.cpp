#include "mia/video/y4m_header.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "media.hpp"

namespace mia {
namespace {

using test::message_of;
using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const std::string& fields) {
    return message_of([&] { detail::check_y4m_header("YUV4MPEG2 " + fields, 1 << 20, "in.y4m"); });
}

TEST(Y4mHeader, WhatIsRight) {
    for (const char* header : {"W64 H48 F25:1\n", "W64 H48 F30000:1001 Ip A1:1 C420mpeg2 XANY=thing\nFRAME\n",
                               "H1 W1 F1:1\n", "W1024 H1024 F25:1\n", "W64  H48 F25:1 \n", "W64 H48 F25:1 A0:0 It\n"})
        EXPECT_EQ(error_of(header), "no error") << header;
}

TEST(Y4mHeader, NumbersThatCannotBeMeant) {
    struct Case {
        const char *header, *message;
    };
    for (const auto& [header, message] :
         {Case{"H48 F25:1\n", "the picture has no size, its header says 0 x 48"},
          Case{"W0 H48 F25:1\n", "the picture has no size, its header says 0 x 48"},
          Case{"W-64 H48 F25:1\n", "has no size, its header says -64 x 48"},
          Case{"W1000000000 H1000000000 F25:1\n", "1000000000 x 1000000000, more than the limit of 1048576 pixels"},
          Case{"W9223372036854775807 H9223372036854775807 F25:1\n", "more than the limit"},
          Case{"W99999999999999999999 H1 F25:1\n", "has a field W99999999999999999999 that is no number"},
          Case{"W64x H48 F25:1\n", "has a field W64x that is no number"}, Case{"W H48 F25:1\n", "has a field W that"},
          Case{"W64 H48\n", "states no usable frame rate (F0:0)"}, Case{"W64 H48 F0:0\n", "frame rate (F0:0)"},
          Case{"W64 H48 F0:1\n", "frame rate (F0:1)"}, Case{"W64 H48 F25:0\n", "frame rate (F25:0)"},
          Case{"W64 H48 F-25:1\n", "frame rate (F-25:1)"}, Case{"W64 H48 F25\n", "has a field F25 that is no number"},
          Case{"W64 H48 F9999999999:1\n", "frame rate (F9999999999:1)"},
          Case{"W64 H48 F25:1 Im\n", "mixes interlaced and progressive frames"}})
        EXPECT_THAT(error_of(header), AllOf(HasSubstr("in.y4m: "), HasSubstr(message))) << header;
}

TEST(Y4mHeader, WithoutEndOrPrintableCharacters) {
    EXPECT_THAT(error_of("W64 H48 F25:1"), HasSubstr("does not end within the first 23 bytes"));
    EXPECT_LT(error_of(std::string(100000, 'x')).size(), 400u);
    EXPECT_THAT(error_of("W64 H48 \x1b[31m\x80\n"), HasSubstr("\"YUV4MPEG2 W64 H48 ?[31m?\""));
}

}  // namespace
}  // namespace mia
