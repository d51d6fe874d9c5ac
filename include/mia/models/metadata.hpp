#pragma once
#include <map>
#include <string>

#include "mia/io/state_dict.hpp"
#include "mia/models/mia_vsr.hpp"

namespace mia {

namespace detail {
template <class Part>
std::string part_name() {
    if constexpr (requires { Part::name; })
        return Part::name;
    else
        return "custom";
}
inline std::string numbers(std::initializer_list<int> values) {
    std::string s;
    for (const int v : values) {
        if (!s.empty()) s += ',';
        s += std::to_string(v);
    }
    return s;
}
}  // namespace detail

/// What a weight file says of its model: every choice that is not plain from the tensors' names and shapes, and those
/// that are, for people. All values are strings; lists are comma-separated. with_mask: false for weights whose mask is
/// not trained.
template <class M>
std::map<std::string, std::string> model_metadata(bool with_mask = true) {
    MiaVsrConfig c = M::config;
    if (!with_mask) c.mask = {.kind = MaskKind::none};
    std::string depths, directions;
    for (int i = 0; i < c.depths.groups(); ++i) depths += (i > 0 ? "," : "") + std::to_string(c.depths.value[i]);
    for (int i = 0; i < c.directions.count; ++i) directions += (i > 0 ? "," : "") + c.directions.name(i);
    std::map<std::string, std::string> m{
        {"scale", std::to_string(c.scale)},
        {"embed_dim", std::to_string(c.embed_dim)},
        {"num_heads", std::to_string(c.num_heads)},
        {"depths", depths},
        {"window", detail::numbers({c.window.frames, c.window.height, c.window.width})},
        {"mlp_ratio", std::to_string(c.mlp_ratio)},
        {"directions", directions},
        {"attention", detail::part_name<typename M::AttentionOfBlock>()},
        {"flow", detail::part_name<typename M::Flow>()},
        {"alignment", detail::part_name<typename M::Alignment>()},
        {"upsampler", detail::part_name<typename M::Upsample>()},
        {"mask", c.mask.kind == MaskKind::none      ? "none"
                 : c.mask.kind == MaskKind::learned ? "learned"
                                                    : "threshold"}};
    if (c.fusion != Fusion::none) m["fusion"] = c.fusion == Fusion::linear ? "linear" : "convolution";
    if (c.mask.kind == MaskKind::threshold) m["mask_threshold"] = std::to_string(c.mask.threshold);
    if (c.mask.kind != MaskKind::none) {
        m["mask_first_blocks"] = std::to_string(c.mask.first_blocks);
        m["mask_refresh_every"] = std::to_string(c.mask.refresh_every);
    }
    return m;
}

/// The same for a module that is no MiaVsr and states its own, such as a flow network.
template <class M>
requires requires { M::metadata(); }
std::map<std::string, std::string> model_metadata(bool = true) { return M::metadata(); }

}  // namespace mia
