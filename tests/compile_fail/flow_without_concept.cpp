// expect: Parts::Flow does not meet the concept OpticalFlow
#include "mia/models/mia_vsr.hpp"
struct NoFlow {};
struct Parts : mia::PublishedParts {
    template <class B>
    using Flow = NoFlow;
};
mia::MiaVsr<mia::mia_vsr_tiny, mia::Cpu, Parts> model;
