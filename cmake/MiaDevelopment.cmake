# What the project's own programs, tests and benchmarks are built with; nobody who includes the library gets any of it.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(MIA_ARCH native CACHE STRING "-march of programs, tests and benchmarks: native, x86-64, x86-64-v3, ...")
set(MIA_SANITIZE "" CACHE STRING "Sanitizers of a development build: address,undefined or thread")

add_library(mia_development INTERFACE)
target_compile_options(mia_development INTERFACE -Wall -Wextra -Wpedantic -Werror -Wno-psabi -march=${MIA_ARCH})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(mia_development INTERFACE -Wno-restrict)  # GCC 12 warns of "literal" + std::string, wrongly
endif()
if(MIA_SANITIZE)
    target_compile_options(mia_development INTERFACE -fsanitize=${MIA_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer -g1)
    target_link_options(mia_development INTERFACE -fsanitize=${MIA_SANITIZE})
endif()
