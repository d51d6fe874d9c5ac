# What the project's own programs, tests and benchmarks are built with; nobody who includes the library gets any of it.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(MIA_ARCH native CACHE STRING "-march of programs, tests and benchmarks: native, x86-64, x86-64-v3, ...")
set(MIA_SANITIZE "" CACHE STRING "Sanitizers of a development build: address,undefined or thread")

add_library(mia_development_flags INTERFACE)
target_compile_options(mia_development_flags INTERFACE -Wall -Wextra -Wpedantic -Werror -Wno-psabi -march=${MIA_ARCH})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC 12 warns of "literal" + std::string, wrongly.
    target_compile_options(mia_development_flags INTERFACE -Wno-restrict)
endif()
if(MIA_SANITIZE)
    target_compile_options(mia_development_flags INTERFACE -fsanitize=${MIA_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer -g1)
    target_link_options(mia_development_flags INTERFACE -fsanitize=${MIA_SANITIZE})
endif()

# The kernels are compiled once for all of them. What tests the library as headers alone takes mia_development_flags.
add_library(mia_development_kernels STATIC EXCLUDE_FROM_ALL)
target_link_libraries(mia_development_kernels PRIVATE mia::kernels mia_development_flags)
if(MIA_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    # With this check of the kernels clang 14 takes many minutes, without it three.
    set_source_files_properties(include/mia/kernels.cpp PROPERTIES COMPILE_OPTIONS -fno-sanitize=pointer-overflow)
elseif(MIA_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # So GCC makes it. (Of the tests it takes what is right for uninitialised then.)
    set_source_files_properties(include/mia/kernels.cpp PROPERTIES COMPILE_OPTIONS -fsanitize=pointer-overflow)
    target_link_options(mia_development_flags INTERFACE -fsanitize=pointer-overflow)
endif()
target_compile_definitions(mia_development_kernels INTERFACE MIA_COMPILED_KERNELS)
add_library(mia_development INTERFACE)
target_link_libraries(mia_development INTERFACE mia_development_flags mia_development_kernels)
