// The gradient of the weight: rows are outputs, lanes are taps, and sums run over images.
#pragma once

#include "patches.h"

namespace striate {
namespace {

// How the gradient of the weight is cut: rows are outputs, lanes are taps, and the sum runs over columns, the
// images of the positions of a kernel.
struct WeightGradientPlan {
    Int columns;            // at once
    Int channels;           // at once: their windows stay in the second cache
    Int row;                // of the copied windows
    Int outputs, parts;     // of a task
    Int tile;               // kernels of a task
    bool transposed;        // y's gradient is transposed for all positions of a tile together
    bool streamed;          // each result is written once, and they are too many for a cache
    Int collected;          // kernels of which the results are collected before they are streamed: whole lines
};

inline WeightGradientPlan plan_weight_gradient(const Problem& p, const float* gw) {
    const Windows& w = *p.windows;
    constexpr Int window_floats = 64 << 10, gradient_floats = 256 << 10, most_collected = 64 << 10;
    WeightGradientPlan plan;
    plan.transposed = w.own_kernels && p.images >= V / 2 && p.images <= 256;
    Int most = 1;
    for (Int k = 0; k < w.kernels && !w.own_kernels; ++k) most = larger(most, w.first[k + 1] - w.first[k]);
    plan.columns = larger(1, smaller(256, most * p.images));
    const Int fitting = larger(1, window_floats / (plan.columns * w.taps));
    plan.channels = ceil_div(p.group_channels, ceil_div(p.group_channels, fitting));
    // Parts of a row start at a line's start, if rows do.
    if (plan.channels < p.group_channels && plan.channels > V) plan.channels = whole_vectors(plan.channels);
    plan.row = whole_vectors(plan.channels * w.taps);
    plan.tile = w.own_kernels ? V : 1;
    const Int tiles = ceil_div(w.kernels, plan.tile);
    plan.outputs = p.group_outputs;
    if (plan.transposed)
        plan.outputs = smaller(plan.outputs, larger(16, gradient_floats / (V * whole_vectors(p.images))));
    while (plan.outputs > 32 && tiles * p.groups * ceil_div(p.group_outputs, plan.outputs) < 8)
        plan.outputs = ceil_div(plan.outputs, 2);
    plan.parts = ceil_div(p.group_outputs, plan.outputs);

    const bool written_once = most * p.images <= plan.columns;
    const bool whole_rows = plan.channels >= p.group_channels;
    const bool lines = p.terms % V == 0 && (plan.channels * w.taps % V == 0 || whole_rows) &&
                       reinterpret_cast<uintptr_t>(gw) % (V * sizeof(float)) == 0;
    plan.collected = 0;
    plan.streamed = written_once && w.kernels * p.outputs * p.terms > kStreamed;
    if (plan.streamed && !lines) {
        const Int of_kernel = plan.outputs * p.terms;
        plan.streamed = whole_rows && of_kernel <= most_collected;
        const bool adjacent = p.groups * plan.parts == 1;
        if (plan.streamed) plan.collected = adjacent ? smaller(plan.tile, most_collected / of_kernel) : 1;
    }
    return plan;
}

inline int weight_gradient(const Problem& p, const float* gy, const float* x, float* gw) {
    const Windows& w = *p.windows;
    const WeightGradientPlan plan = plan_weight_gradient(p, gw);
    const Int gy_row = plan.transposed ? V * whole_vectors(p.images) : whole_vectors(plan.columns);
    const Int window_floats = whole_vectors(plan.columns * plan.row + V), factor_floats = plan.outputs * gy_row;
    const Int private_floats = window_floats + factor_floats + whole_vectors(plan.collected * plan.outputs * p.terms);
    float* memory = scratch(p.threads * private_floats);
    if (memory == nullptr) return STRIATE_NO_MEMORY;

    const Int tasks_of_tile = p.groups * plan.parts;
    for_each(p.threads, ceil_div(w.kernels, plan.tile) * tasks_of_tile, [=, &p, &w, &plan](Int task, int worker) {
        const Int first_kernel = task / tasks_of_tile * plan.tile, group = task / plan.parts % p.groups;
        const Int skipped = task % plan.parts * plan.outputs;
        const Int output = group * p.group_outputs + skipped, outputs = smaller(plan.outputs, p.group_outputs - skipped);
        const Int end = smaller(first_kernel + plan.tile, w.kernels);
        float* windows = memory + worker * private_floats;
        float* factors = windows + window_floats;
        float* collected = factors + factor_floats;
        if (plan.transposed)
            for (Int o = 0; o < outputs; ++o)
                images_to_lanes(gy + (output + o) * w.positions + first_kernel, p.outputs * w.positions, p.images,
                                end - first_kernel, factors + o * gy_row, gy_row / V);
        Int waiting = 0;  // kernels in `collected`
        for (Int kernel = first_kernel; kernel < end; ++kernel) {
            const int32_t* members = w.members + w.first[kernel];
            const Int size = w.first[kernel + 1] - w.first[kernel], columns = size * p.images;
            float* results = gw + (kernel * p.outputs + output) * p.terms;
            if (plan.collected > 0) results = collected + waiting * outputs * p.terms;
            if (columns == 0) fill_zero(results, outputs * p.terms);
            for (Int first = 0; first < columns; first += plan.columns) {
                const Int count = smaller(plan.columns, columns - first);
                const auto each_column = [&](auto f) {  // f(column, image, position)
                    Int image = first / size, member = first % size;
                    for (Int i = 0; i < count; ++i) {
                        f(i, image, members[member]);
                        if (++member == size) {
                            member = 0;
                            ++image;
                        }
                    }
                };
                const float* a = factors + (kernel - first_kernel) * (gy_row / V);
                if (!plan.transposed) {
                    a = factors;
                    for (Int o = 0; o < outputs; ++o)
                        each_column([&](Int i, Int image, Int position) {
                            factors[o * gy_row + i] = gy[(image * p.outputs + output + o) * w.positions + position];
                        });
                }
                for (Int c = 0; c < p.group_channels; c += plan.channels) {
                    const Int channels = smaller(plan.channels, p.group_channels - c);
                    each_column([&](Int i, Int image, Int position) {
                        gather(w, x + (image * p.channels + group * p.group_channels + c) * w.inputs, channels, position,
                               windows + i * plan.row);
                    });
                    Product<true> job{a, gy_row, 1, windows, plan.row, count, results + c * w.taps, p.terms,
                                      channels * w.taps, first > 0, plan.streamed && plan.collected == 0};
                    cover(job, outputs, ceil_div(channels * w.taps, V));
                }
            }
            if (plan.collected > 0 && (++waiting == plan.collected || kernel + 1 == end)) {
                stream_copy(collected, waiting * outputs * p.terms,
                            gw + ((kernel + 1 - waiting) * p.outputs + output) * p.terms);
                waiting = 0;
            }
        }
        if (plan.streamed) fence();
    });
    return STRIATE_OK;
}

}  // namespace
}  // namespace striate
