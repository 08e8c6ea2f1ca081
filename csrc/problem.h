// What a kernel is given: checked tables and sizes. Plain data only: kernels.cpp is compiled for several
// instruction sets, and a function shared between those and the rest could be linked from the wrong one.
#pragma once

#include <cstdint>

namespace striate {

using Int = int64_t;

// Taps that lie side by side in the weight and in the input.
struct Run {
    int32_t tap;     // the first one's place in the kernel
    int32_t offset;  // its input position, from the base of the output position
    int32_t length;
};

// A tap that reads an input and not padding.
struct Tap {
    int32_t tap;
    int32_t offset;
};

struct Pattern {
    const Run* runs;
    int32_t run_count;
    const Tap* taps;
    int32_t tap_count;
    const Tap* pairs;    // the first of two taps side by side, pair_count of them; then single_count that are left over
    int32_t pair_count, single_count;
    int32_t run_length;  // of every run, or 0 where they differ
    int32_t low, high;  // its taps read inputs in [low, high), from the base
};

struct Windows {
    Int inputs;                // L
    Int positions;             // P
    Int kernels;               // K
    Int taps;                  // T
    bool own_kernels;          // kernel p belongs to position p and to no other
    const int32_t* base;       // (P)
    const int32_t* pattern;    // (P)
    const int32_t* kernel;     // (P)
    const int32_t* members;    // (P) positions, those of kernel 0 first
    const int32_t* first;      // (K + 1): kernel k has members[first[k]] .. members[first[k + 1] - 1]
    const int32_t* later;      // (P) no position from this one on reads an input below
    const Pattern* patterns;
    double runs_per_position;  // the mean
};

struct Problem {
    const Windows* windows;
    Int images, channels, outputs, groups;
    Int group_channels, group_outputs;
    Int terms;                 // of the sum of one output: group_channels * taps
    int threads;
    int order;                 // enum striate_order, never STRIATE_CHOOSE
};

// Where bias[kernel, output] is; no steps for one per channel.
struct Bias {
    const float* data;
    Int kernel_step;
};

// All return an enum striate_status.
struct Kernels {
    int lanes;
    int accumulators;  // registers that hold sums
    int (*forward)(const Problem&, const float* x, const float* weight, Bias bias, float* y);
    int (*forward_bfloat16)(const Problem&, const float* x, const uint16_t* weight, Bias bias, float* y);
    int (*input_gradient)(const Problem&, const float* gy, const float* weight, float* gx);
    int (*weight_gradient)(const Problem&, const float* gy, const float* x, float* gw);
    float (*multiply_adds)(Int rounds, float factor);  // no status: lanes * accumulators of them in a round
};

extern const Kernels kernels_baseline;
#if defined(STRIATE_X86)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

}  // namespace striate
