// y with taps as lanes, read where they lie: for so few outputs that a copy of the window would not pay.
#pragma once

#include <utility>

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

// Whether the windows of positions [start, start + V) have one shape and follow one another by one input.
inline bool are_neighbours(const Windows& w, Int start) {
    bool same = w.patterns[w.pattern[start]].run_length > 0;
    for (int i = 1; i < V; ++i)
        same &= w.pattern[start + i] == w.pattern[start] && w.base[start + i] == w.base[start] + i;
    return same;
}

template <int... I>
inline void add_neighbours(const Neighbours& windows, const Vec* factors, Vec* sums, std::integer_sequence<int, I...>) {
    ((sums[I] = windows.multiply_add<I>(factors[I], sums[I])), ...);
}

// sums[i] = dot_of_rows at the i-th of V neighbours, whose weights are at weights[i]; x is at the first one's base. A row
// of inputs is read once for all of them. What comes after is read in no order that the hardware follows by itself: the
// weights from `next` on, as many as these, are fetched meanwhile, unless it is null.
template <class W>
inline void dots_of_neighbours(const Windows& w, const Pattern& pattern, Int channels, const W* const* weights,
                               const W* next, const float* x, Vec* sums) {
    constexpr Int line = 64 / sizeof(W);
    const Int length = pattern.run_length;
    const Int steps = channels * pattern.run_count * ceil_div(length, V);
    const Int lines = next == nullptr ? 0 : ceil_div(V * channels * w.taps, line * steps);
    for (int i = 0; i < V; ++i) sums[i] = zero();
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            for (Int done = 0; done < length; done += V) {
                const Int count = smaller(V, length - done);
                const Int tap = c * w.taps + pattern.runs[r].tap + done;
                const Neighbours windows(x + pattern.runs[r].offset + done, count);
                Vec factors[V];
#pragma GCC unroll 16
                for (int i = 0; i < V; ++i) factors[i] = load(weights[i] + tap, count);
                for (Int i = 0; i < lines; ++i, next += line) __builtin_prefetch(next, 0, 3);
                add_neighbours(windows, factors, sums, std::make_integer_sequence<int, V>{});
            }
        }
        x += w.inputs;
    }
}

template <class W>
int forward_rows(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    // Some hundred positions to a task, at least V; and a megabyte of weights, as a short stretch of memory is left again
    // before the hardware reads it as fast as it can.
    const Int many = larger(16, (1 << 18) / (V * p.outputs * p.terms));
    const Int tile = V * larger(1, smaller(many, w.positions / (4 * p.threads * V)));
    for_each(p.threads, ceil_div(w.positions, tile), [=, &p, &w](Int task, int) {
        for (Int start = task * tile; start < smaller((task + 1) * tile, w.positions); start += V) {
            const Int positions = smaller(V, w.positions - start);
            const bool neighbours = positions == V && are_neighbours(w, start);
            for (Int n = 0; n < p.images; ++n) {
                for (Int o = 0; o < p.outputs; ++o) {
                    const Int channel = o / p.group_outputs * p.group_channels;
                    const float* from = x + (n * p.channels + channel) * w.inputs;
                    Vec sums[V];
                    float start_at[V] = {};
                    const W* weights[V];
                    for (Int i = 0; i < positions; ++i) {
                        const Int kernel = w.kernel[start + i];
                        weights[i] = weight + (kernel * p.outputs + o) * p.terms;
                        start_at[i] = bias_of(bias, kernel, o);
                    }
                    if (neighbours) {
                        // Those of the next V positions: a part for each output here.
                        const W* next = weight + ((start + V) * p.outputs + o * V) * p.terms;
                        dots_of_neighbours(w, w.patterns[w.pattern[start]], p.group_channels, weights,
                                           w.own_kernels && n == 0 ? next : nullptr, from + w.base[start], sums);
                    } else {
                        for (Int i = 0; i < V; ++i) sums[i] = zero();
                        for (Int i = 0; i < positions; ++i) {
                            const Int at = start + i;
                            sums[i] = dot_of_rows(w, w.patterns[w.pattern[at]], p.group_channels, weights[i],
                                                  from + w.base[at]);
                        }
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
