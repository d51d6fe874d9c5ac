#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mia/video/manifest.hpp>
#include <mia/video/packet_file.hpp>
#include <string>
#include <string_view>

namespace {

/// What is read as a manifest is written as one that reads the same.
void read_as_manifest(std::string_view text) {
    const mia::detail::Manifest manifest = mia::detail::read_manifest(text, "fuzz");
    if (mia::detail::read_manifest(mia::detail::to_json(manifest), "fuzz") != manifest) std::abort();
    std::int64_t frames = 0;
    for (const auto& chunk : manifest.chunks) frames += chunk.frames;
    if (frames != manifest.frames() || manifest.packets() < 0) std::abort();
}

/// Packets hold no more than the file does.
void read_as_packets(const std::uint8_t* data, std::size_t size) {
    const auto open = [&] {
        return mia::detail::PacketFileReader(
            mia::detail::FileHandle(fmemopen(const_cast<std::uint8_t*>(data), size, "rb")), "fuzz");
    };
    auto file = open();
    std::size_t bytes = 0, count = 0, fields_count = 0;
    for (mia::Packet packet; file.next(packet); ++count) {
        bytes += std::size_t(packet->size);
        for (int i = 0; i < packet->side_data_elems; ++i) bytes += packet->side_data[i].size;
    }
    if (bytes > size) std::abort();
    open().each_fields([&](const mia::detail::PacketFields&) { ++fields_count; });
    if (fields_count != count) std::abort();
}

}  // namespace

/// The two kinds of files that an interrupted run leaves: a manifest begins with a brace.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    try {
        if (data[0] == '{')
            read_as_manifest({reinterpret_cast<const char*>(data), size});
        else
            read_as_packets(data, size);
    } catch (const mia::Error&) {
    }
    return 0;
}
