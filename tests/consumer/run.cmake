# Configures, builds and runs the consumer project in one of its three ways; installs the library first for find_package,
# and there, where it costs a third of a minute, compiles for a GPU too if NVCC is one.
file(REMOVE_RECURSE ${WORK})
set(arguments -S ${SOURCE}/tests/consumer -B ${WORK}/build -DMIA_CONSUMES=${WAY} -DMIA_SOURCE=${SOURCE}
    -DCMAKE_CXX_COMPILER=${COMPILER})
if(WAY STREQUAL "package")
    execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/library -DMIA_TESTS=OFF -DMIA_EXAMPLES=OFF
        -DMIA_BENCHMARKS=OFF -DMIA_VIDEO=${VIDEO} -DCMAKE_INSTALL_PREFIX=${WORK}/prefix COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/library --target install COMMAND_ERROR_IS_FATAL ANY)
    list(APPEND arguments -DCMAKE_PREFIX_PATH=${WORK}/prefix)
    if(NVCC)
        list(APPEND arguments -DMIA_CONSUMER_CUDA=ON -DCMAKE_CUDA_COMPILER=${NVCC} -DCMAKE_CUDA_HOST_COMPILER=${COMPILER}
            -DCMAKE_CUDA_ARCHITECTURES=80)
    endif()
endif()
execute_process(COMMAND ${CMAKE_COMMAND} ${arguments} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/build/consumer COMMAND_ERROR_IS_FATAL ANY)
