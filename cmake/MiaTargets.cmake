# The library's targets: mia::mia (threads), mia::kernels (adds one source file, include/mia/kernels.cpp), mia::cuda (what
# nvcc needs) and mia::video (adds FFmpeg's libraries and zimg). INTERFACE only: include path, C++20 and dependencies, no warnings,
# optimisation or architecture flags.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

find_package(Threads REQUIRED)

add_library(mia INTERFACE)
add_library(mia::mia ALIAS mia)
target_compile_features(mia INTERFACE cxx_std_20)
target_include_directories(mia INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(mia INTERFACE Threads::Threads)
add_library(mia_kernels INTERFACE)
add_library(mia::kernels ALIAS mia_kernels)
set_target_properties(mia_kernels PROPERTIES EXPORT_NAME kernels)
target_link_libraries(mia_kernels INTERFACE mia)
target_compile_definitions(mia_kernels INTERFACE MIA_COMPILED_KERNELS)
# A source, not a library: so it is compiled with the flags of whoever links it.
target_sources(mia_kernels INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include/mia/kernels.cpp>
    $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${CMAKE_INSTALL_INCLUDEDIR}/mia/kernels.cpp>)
# For targets with CUDA sources: CMake itself adds the toolkit's headers and runtime to them. An option, not the feature
# cuda_std_20: CMake before 3.26 does not know that nvcc has it.
add_library(mia_cuda INTERFACE)
add_library(mia::cuda ALIAS mia_cuda)
set_target_properties(mia_cuda PROPERTIES EXPORT_NAME cuda)
target_link_libraries(mia_cuda INTERFACE mia)
target_compile_options(mia_cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
set(mia_targets mia mia_kernels mia_cuda)

if(MIA_VIDEO)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(MIA_FFMPEG IMPORTED_TARGET libavformat libavcodec libavfilter libavutil)
        pkg_check_modules(MIA_ZIMG IMPORTED_TARGET zimg)
    endif()
    if(MIA_FFMPEG_FOUND AND MIA_ZIMG_FOUND)
        add_library(mia_video INTERFACE)
        add_library(mia::video ALIAS mia_video)
        set_target_properties(mia_video PROPERTIES EXPORT_NAME video)
        target_link_libraries(mia_video INTERFACE mia PkgConfig::MIA_FFMPEG PkgConfig::MIA_ZIMG)
        list(APPEND mia_targets mia_video)
    else()
        message(STATUS "mia::video is left out: FFmpeg's libraries or zimg were not found (Debian: libavformat-dev "
            "libavcodec-dev libavfilter-dev libavutil-dev libzimg-dev pkg-config)")
        set(MIA_VIDEO OFF)
    endif()
endif()

install(TARGETS ${mia_targets} EXPORT miaTargets)
install(DIRECTORY include/mia DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT miaTargets NAMESPACE mia:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mia)
configure_package_config_file(cmake/miaConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/miaConfig.cmake
    INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mia)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/miaConfigVersion.cmake
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/miaConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/miaConfigVersion.cmake
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/mia)
