// y with positions that share a kernel as lanes, and their images: a product of matrices for each kernel.
#pragma once

#include "operands.h"

namespace striate {
namespace {

// Adjacent columns of a panel whose windows are each one input further than the one before.
struct Stretch {
    Int column, count, image, position;
};

constexpr Int kColumns = 64;

// Columns [first, first + count) of kernel `kernel`: column n * members + j is its j-th position of image n.
inline Int stretches_of(const Windows& w, Int kernel, Int first, Int count, Stretch* stretches) {
    const int32_t* members = w.members + w.first[kernel];
    const Int size = w.first[kernel + 1] - w.first[kernel];
    Int made = 0;
    for (Int column = 0; column < count; ++column) {
        const Int image = (first + column) / size, position = members[(first + column) % size];
        if (made > 0) {
            Stretch& last = stretches[made - 1];
            const Int before = last.position + last.count - 1;
            if (last.image == image && before + 1 == position && w.pattern[before] == w.pattern[position] &&
                w.base[before] + 1 == w.base[position]) {
                ++last.count;
                continue;
            }
        }
        stretches[made++] = Stretch{column, 1, image, position};
    }
    return made;
}

// The windows of some columns side by side: panel[(c * taps + t) * width + column], zeros for padding.
inline void gather_columns(const Problem& p, const float* x, Int group, const Stretch* stretches, Int count, Int width,
                           float* panel) {
    const Windows& w = *p.windows;
    fill_zero(panel, p.terms * width);
    for (Int c = 0; c < p.group_channels; ++c) {
        for (Int s = 0; s < count; ++s) {
            const Stretch& stretch = stretches[s];
            const Pattern& pattern = w.patterns[w.pattern[stretch.position]];
            const float* from = x + (stretch.image * p.channels + group * p.group_channels + c) * w.inputs +
                                w.base[stretch.position];
            float* to = panel + c * w.taps * width + stretch.column;
            for (int t = 0; t < pattern.tap_count; ++t)
                for (Int i = 0; i < stretch.count; i += V) {
                    const Int left = smaller(V, stretch.count - i);
                    store(to + pattern.taps[t].tap * width + i, load(from + pattern.taps[t].offset + i, left), left);
                }
        }
    }
}

template <class W>
int forward_positions(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    // Columns of one panel, fewer where a window is large: the panel stays in the second cache.
    const Int width = p.terms > 4096 ? 2 * V : kColumns;
    Int most = 1;
    for (Int k = 0; k < w.kernels; ++k) most = larger(most, (w.first[k + 1] - w.first[k]) * p.images);
    const Int panels = ceil_div(most, width);
    const Int rows = smaller(p.group_outputs, 4 * kAccumulators);
    const Int widened = sizeof(W) == sizeof(float) ? 0 : whole_vectors(rows * p.terms);
    const Int panel_floats = p.terms * width, private_floats = panel_floats + rows * width + widened;
    float* memory = scratch(p.threads * private_floats);
    if (memory == nullptr) return STRIATE_NO_MEMORY;

    for_each(p.threads, w.kernels * panels * p.groups, [=, &p, &w](Int task, int worker) {
        const Int kernel = task / (panels * p.groups), group = task / panels % p.groups;
        const Int first = task % panels * width;
        const Int columns = smaller(width, (w.first[kernel + 1] - w.first[kernel]) * p.images - first);
        if (columns <= 0) return;
        float* panel = memory + worker * private_floats;
        float* results = panel + panel_floats;
        Stretch stretches[kColumns];
        const Int count = stretches_of(w, kernel, first, columns, stretches);
        gather_columns(p, x, group, stretches, count, width, panel);
        for (Int output = 0; output < p.group_outputs; output += rows) {
            const Int channel = group * p.group_outputs + output, some = smaller(rows, p.group_outputs - output);
            const Rows factors = as_float(weight + (kernel * p.outputs + channel) * p.terms, p.terms, some, p.terms,
                                          results + rows * width);
            Product<true> job{factors.first, factors.step, 1, panel, width, p.terms, results, width, whole_vectors(columns), false, false};
            cover(job, some, ceil_div(columns, V));
            for (Int o = 0; o < some; ++o)
                for (Int s = 0; s < count; ++s) {
                    const Stretch& stretch = stretches[s];
                    float* to = y + (stretch.image * p.outputs + channel + o) * w.positions + stretch.position;
                    for (Int i = 0; i < stretch.count; ++i)
                        to[i] = results[o * width + stretch.column + i] + bias_of(bias, kernel, channel + o);
                }
        }
    });
    return STRIATE_OK;
}

}  // namespace
}  // namespace striate
