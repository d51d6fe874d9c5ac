# mia_add_nvcc_object(NAME.o source [HOST -O0] [CHIPS ...] [INCLUDE ...]): a custom command that compiles a .cu file to an
# object, its host code with -O3 or as HOST says, for the given chips or those of MIA_CUDA_ARCHITECTURES, and, by the
# driver, for later ones. Warnings and spilled registers are errors. What ptxas says of each kernel goes to a file beside
# it, NAME.ptxas. Needs the toolkit, no GPU. A command of our own: CMake before 3.26 does not know that nvcc has C++20.
# Sets MIA_NVCC, and MIA_CUDART: the runtime, that programs with such an object link.
find_program(MIA_NVCC nvcc HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
find_library(MIA_CUDART cudart_static HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES lib64 lib)
set(MIA_CUDA_ARCHITECTURES 80;90 CACHE STRING "What nvcc compiles for: 80;90 are A100 and H100")

function(mia_add_nvcc_object output source)
    cmake_parse_arguments(of "" "HOST" "CHIPS;INCLUDE" ${ARGN})
    set(numbers ${of_CHIPS})
    if(NOT numbers)
        set(numbers ${MIA_CUDA_ARCHITECTURES})
    endif()
    set(chips "")
    foreach(number ${numbers})
        list(APPEND chips -gencode arch=compute_${number},code=sm_${number})
    endforeach()
    if(NOT of_HOST)
        set(of_HOST -O3)
    endif()
    list(TRANSFORM of_INCLUDE PREPEND -I)
    list(GET numbers -1 newest)
    list(APPEND chips -gencode arch=compute_${newest},code=compute_${newest})
    get_filename_component(path ${source} ABSOLUTE)
    get_filename_component(name ${output} NAME_WE)
    # restrict: GCC 12 warns, wrongly.
    add_custom_command(OUTPUT ${output} ${name}.ptxas DEPENDS ${path}
        DEPFILE ${CMAKE_CURRENT_BINARY_DIR}/${name}.d VERBATIM
        COMMAND bash -c [["$@" > $0 2>&1 || { cat $0; exit 1; }]] ${name}.ptxas
            ${MIA_NVCC} -std=c++20 ${of_HOST} ${chips} -I${PROJECT_SOURCE_DIR}/include ${of_INCLUDE}
            -Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror,-Wno-psabi,-Wno-restrict
            -Xptxas=-v,-warn-spills,-warn-lmem-usage -MD -MF ${name}.d -c ${path} -o ${output}
        COMMENT "Compiling ${name} with nvcc")
    set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/${output} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
endfunction()
