// Reading the operands of a forward: weights of either type, and the bias.
#pragma once

#include "patches.h"

namespace striate {
namespace {

// Rows of weights, `step` floats from one to the next.
struct Rows {
    const float* first;
    Int step;
};

inline Rows as_float(const float* from, Int step, Int, Int, float*) { return {from, step}; }

// bfloat16 weights that meet many images are widened once, into `to`: `count` of each row.
inline Rows as_float(const bfloat16* from, Int step, Int rows, Int count, float* to) {
    for (Int r = 0; r < rows; ++r, from += step) {
        Int i = 0;
        for (; i + V <= count; i += V) store(to + r * count + i, load(from + i));
        for (; i < count; ++i) to[r * count + i] = widen(from[i]);
    }
    return {to, count};
}

inline float bias_of(const Bias& bias, Int kernel, Int output) {
    return bias.data == nullptr ? 0.0f : bias.data[kernel * bias.kernel_step + output];
}

}  // namespace
}  // namespace striate
