#include "support/choose_model.hpp"

#include <algorithm>
#include <fstream>
#include <span>
#include <thread>
#include <vector>

#include "mia/io/read_state_dict.hpp"
#include "mia/models/model_list.hpp"
#include "mia/video/sha256.hpp"
#include "support/cuda_models.hpp"

extern "C" {
extern const unsigned char mia_default_weights[];
extern const unsigned long mia_default_weights_size;
}

std::unique_ptr<mia::AnyModel> choose_model(const ModelRequest& request) {
    mia::ModelOptions options = request.options;
    if (options.threads == 0) options.threads = std::max(1, int(std::thread::hardware_concurrency()));
    const auto open = [&](const mia::StateDict& file) {
        return request.device == Device::cuda ? open_cuda_model(file, options) : mia::open_model(file, options);
    };
    if (!request.weights.empty()) return open(mia::read_state_dict(request.weights));
    const std::span bytes(reinterpret_cast<const std::byte*>(mia_default_weights), mia_default_weights_size);
    return open(mia::parse_safetensors(bytes, "the built-in weights"));
}

std::string weights_hash(const ModelRequest& request) {
    mia::Sha256 hash;
    if (request.weights.empty()) {
        hash.update(mia_default_weights, mia_default_weights_size);
        return hash.take();
    }
    std::ifstream file(request.weights, std::ios::binary);
    std::vector<char> buffer(1 << 20);
    while (file.read(buffer.data(), std::streamsize(buffer.size())) || file.gcount() > 0)
        hash.update(buffer.data(), std::size_t(file.gcount()));
    mia::require(file.eof(), request.weights.string(), ": the weights cannot be read to the end. Check the file.");
    return hash.take();
}
