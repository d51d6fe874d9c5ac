# mia_embed(target file symbol): compiles a file into a target as
#   extern "C" const unsigned char <symbol>[]; extern "C" const unsigned long <symbol>_size;
function(mia_embed target file symbol)
    get_filename_component(path ${file} ABSOLUTE)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.cpp)
    add_custom_command(OUTPUT ${source} DEPENDS ${path}
        COMMAND ${CMAKE_COMMAND} -DMIA_EMBED_FILE=${path} -DMIA_EMBED_SYMBOL=${symbol} -DMIA_EMBED_SOURCE=${source}
            -P ${PROJECT_SOURCE_DIR}/cmake/MiaEmbed.cmake
        COMMENT "Embedding ${file}")
    target_sources(${target} PRIVATE ${source})
endfunction()

if(MIA_EMBED_FILE)
    file(READ ${MIA_EMBED_FILE} hex HEX)
    string(REGEX REPLACE "(................................................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    file(WRITE ${MIA_EMBED_SOURCE} "extern \"C\" {\nextern const unsigned char ${MIA_EMBED_SYMBOL}[];\n"
        "extern const unsigned long ${MIA_EMBED_SYMBOL}_size;\n"
        "alignas(64) const unsigned char ${MIA_EMBED_SYMBOL}[] = {\n${bytes}};\n"
        "const unsigned long ${MIA_EMBED_SYMBOL}_size = sizeof ${MIA_EMBED_SYMBOL};\n}\n")
endif()
