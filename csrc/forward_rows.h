// y with taps as lanes, read where they lie: for so few outputs that a copy of the window would not pay.
#pragma once

#include "operands.h"

namespace striate {
namespace {

// The sum of a window's taps for one output and image, lane by lane, its rows read where they lie.
template <class W>
inline Vec dot_of_rows(const Windows& w, const Pattern& pattern, Int channels, const W* weight, const float* x) {
    Vec sum = zero();
    if (pattern.run_length > 0 && pattern.run_length <= V) {
        const Int length = pattern.run_length;
        Vec odd = zero();
        for (Int c = 0; c < channels; ++c) {
            int r = 0;
            for (; r + 2 <= pattern.run_count; r += 2) {
                const Run one = pattern.runs[r], two = pattern.runs[r + 1];
                __builtin_prefetch(weight + one.tap + 512, 0, 3);
                __builtin_prefetch(weight + two.tap + 512, 0, 3);
                sum = fma(load(weight + one.tap, length), load(x + one.offset, length), sum);
                odd = fma(load(weight + two.tap, length), load(x + two.offset, length), odd);
            }
            if (r < pattern.run_count) {
                const Run run = pattern.runs[r];
                sum = fma(load(weight + run.tap, length), load(x + run.offset, length), sum);
            }
            weight += w.taps;
            x += w.inputs;
        }
        return add(sum, odd);
    }
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            const Run run = pattern.runs[r];
            const W* factors = weight + run.tap;
            const float* values = x + run.offset;
            Int left = run.length;
            for (; left >= V; left -= V, factors += V, values += V) sum = fma(load(factors), load(values), sum);
            if (left > 0) sum = fma(load(factors, left), load(values, left), sum);
        }
        weight += w.taps;
        x += w.inputs;
    }
    return sum;
}

template <class W>
int forward_rows(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    // Some hundred positions to a task, at least V.
    const Int tile = V * larger(1, smaller(16, w.positions / (8 * V)));
    for_each(p.threads, ceil_div(w.positions, tile), [=, &p, &w](Int task, int) {
        for (Int start = task * tile; start < smaller((task + 1) * tile, w.positions); start += V) {
            const Int positions = smaller(V, w.positions - start);
            for (Int n = 0; n < p.images; ++n) {
                for (Int o = 0; o < p.outputs; ++o) {
                    const Int channel = o / p.group_outputs * p.group_channels;
                    const float* from = x + (n * p.channels + channel) * w.inputs;
                    Vec sums[V];
                    float start_at[V] = {};
                    for (Int i = 0; i < V; ++i) sums[i] = zero();
                    for (Int i = 0; i < positions; ++i) {
                        const Int at = start + i;
                        const W* factors = weight + (w.kernel[at] * p.outputs + o) * p.terms;
                        start_at[i] = bias_of(bias, w.kernel[at], o);
                        sums[i] = dot_of_rows(w, w.patterns[w.pattern[at]], p.group_channels, factors, from + w.base[at]);
                    }
                    store(y + (n * p.outputs + o) * w.positions + start, add(sums_of_lanes(sums), load(start_at)),
                          positions);
                }
            }
        }
    });
    return STRIATE_OK;
}

}  // namespace
}  // namespace striate
