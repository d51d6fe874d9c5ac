// expect: the attention type does not meet the concept BlockAttention
#include "mia/models/mia_vsr.hpp"
struct Attention {
    static constexpr int query_frames = 1, condition_frames = 2;
    template <class Self, class Visit>
    static constexpr void each_member(Self&, Visit&&) {}
};
struct Parts : mia::PublishedParts {
    template <mia::AttentionConfig C, class B>
    using Attention = ::Attention;
};
mia::MiaVsr<mia::mia_vsr_tiny, mia::Cpu, Parts> model;
