# mia_add_nvcc_object(output source): a custom command that compiles a .cu file to an object, for the chips of
# MIA_CUDA_ARCHITECTURES, warnings and spilled registers are errors. What ptxas says of each kernel goes to a file beside
# it, NAME.ptxas. Sets MIA_NVCC. Needs the toolkit, no GPU. A command of our own: CMake before 3.26 does not know that
# nvcc has C++20.
find_program(MIA_NVCC nvcc HINTS ENV CUDA_HOME /usr/local/cuda PATH_SUFFIXES bin)
set(MIA_CUDA_ARCHITECTURES 80;90 CACHE STRING "What nvcc compiles for: 80;90 are A100 and H100")

function(mia_add_nvcc_object output source)
    set(architectures "")
    foreach(number ${MIA_CUDA_ARCHITECTURES})
        list(APPEND architectures -gencode arch=compute_${number},code=sm_${number})
    endforeach()
    get_filename_component(path ${source} ABSOLUTE)
    get_filename_component(name ${source} NAME_WE)
    # 1675: the loops of the Cpu half carry a pragma that only the host's compiler knows. restrict: GCC 12 warns, wrongly.
    add_custom_command(OUTPUT ${output} ${name}.ptxas DEPENDS ${path}
        DEPFILE ${CMAKE_CURRENT_BINARY_DIR}/${name}.d VERBATIM
        COMMAND bash -c [["$@" > $0 2>&1 || { cat $0; exit 1; }]] ${name}.ptxas
            ${MIA_NVCC} -std=c++20 -O3 ${architectures} -I${PROJECT_SOURCE_DIR}/include
            -I${PROJECT_SOURCE_DIR}/examples -Werror all-warnings -diag-suppress 1675
            -Xcompiler=-Wall,-Wextra,-Werror,-Wno-psabi,-Wno-restrict -Xptxas=-v,-warn-spills,-warn-lmem-usage -MD
            -MF ${name}.d -c ${path} -o ${output}
        COMMENT "Compiling ${name}.cu with nvcc")
endfunction()
