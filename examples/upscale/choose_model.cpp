#include "choose_model.hpp"

#include <algorithm>
#include <span>
#include <thread>

#include "mia/io/read_state_dict.hpp"
#include "mia/models/model_list.hpp"

extern "C" {
extern const unsigned char mia_default_weights[];
extern const unsigned long mia_default_weights_size;
}

std::unique_ptr<mia::AnyModel> choose_model(const ModelRequest& request) {
    mia::ModelOptions options = request.options;
    if (options.threads == 0) options.threads = std::max(1, int(std::thread::hardware_concurrency()));
    if (!request.weights.empty()) return mia::open_model(mia::read_state_dict(request.weights), options);
    const std::span bytes(reinterpret_cast<const std::byte*>(mia_default_weights), mia_default_weights_size);
    return mia::open_model(mia::parse_safetensors(bytes, "the built-in weights"), options);
}
