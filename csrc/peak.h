// What the processor computes at most: the yardstick of the benchmarks.
#pragma once

#include "simd.h"

namespace striate {
namespace {

// Multiply-adds in registers, in as many sums as the kernels keep there; returns their total, so that none is left out.
inline float multiply_adds(int64_t rounds, float factor) {
    Vec sums[kAccumulators];
    for (Vec& sum : sums) sum = splat(factor);
    const Vec a = splat(factor), b = splat(1.0f - factor);
    for (int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 24
        for (Vec& sum : sums) sum = fma(a, sum, b);
    float lanes[V], total = 0;
    for (const Vec& sum : sums) {
        store(lanes, sum);
        for (const float lane : lanes) total += lane;
    }
    return total;
}

}  // namespace
}  // namespace striate
