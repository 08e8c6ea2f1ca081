// Reading the operands of a forward: weights of either type, and the bias.
#pragma once

#include "patches.h"

namespace striate {
namespace {

inline const float* as_float(const float* from, Int, float*) { return from; }

// bfloat16 weights that meet many images are widened once, into `to`.
inline const float* as_float(const bfloat16* from, Int count, float* to) {
    Int i = 0;
    for (; i + V <= count; i += V) store(to + i, load(from + i));
    for (; i < count; ++i) to[i] = widen(from[i]);
    return to;
}

inline float bias_of(const Bias& bias, Int kernel, Int output) {
    return bias.data == nullptr ? 0.0f : bias.data[kernel * bias.kernel_step + output];
}

}  // namespace
}  // namespace striate
