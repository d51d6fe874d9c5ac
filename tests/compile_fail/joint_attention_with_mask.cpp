// expect: for joint attention use .mask = {.kind = MaskKind::none}
#include "mia/models/mia_vsr.hpp"
struct Parts : mia::PublishedParts {
    template <mia::AttentionConfig C, class B>
    using Attention = mia::JointAttention<C, B>;
};
mia::MiaVsr<mia::mia_vsr_base, mia::Cpu, Parts> model;
