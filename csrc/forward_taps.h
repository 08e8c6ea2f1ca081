// y with taps as lanes: a window is copied together once and meets the weights of all outputs.
#pragma once

#include "operands.h"

namespace striate {
namespace {

// Outputs times images of one position: lanes are taps, and a sum over lanes at the end.
template <class W>
struct TapsAtPosition {
    const W* weight;  // (outputs, terms)
    const float* window;
    Int terms, window_row;

    // R outputs from `row` on times N images from `image` on; the sums go to `out`, images innermost.
    template <int R, int N>
    void dots(Int row, Int image, float* out) const {
        Sums<R, N> acc;
        acc.clear();
        const W* factors = weight + row * terms;
        const float* from = window + image * window_row;
        Int t = 0;
        for (; t + V <= terms; t += V) {
            Vec values[N];
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) values[n] = load(from + n * window_row + t);
            accumulate(acc, values, [&](int r) {
                // The rows that come next; with fewer images to a weight the hardware keeps up by itself.
                if constexpr (N >= 3) __builtin_prefetch(factors + (r + R) * terms + t, 0, 2);
                return load(factors + r * terms + t);
            });
        }
        if (t < terms) {
            Vec values[N];
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) values[n] = load(from + n * window_row + t);
            accumulate(acc, values, [&](int r) { return load(factors + r * terms + t, terms - t); });
        }
        Vec all[(R * N + V - 1) / V * V];
#pragma GCC unroll 32
        for (int i = 0; i < (R * N + V - 1) / V * V; ++i) all[i] = i < R * N ? acc.at[i / N][i % N] : zero();
#pragma GCC unroll 8
        for (int i = 0; i < R * N; i += V) store(out + i, sums_of_lanes(all + i));
    }

    template <int R, int N, class F>
    static void accumulate(Sums<R, N>& acc, const Vec* values, const F& factor) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            Vec f = factor(r);
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) acc.at[r][n] = fma(f, values[n], acc.at[r][n]);
        }
    }
};

// Writes y[image, output] for all outputs of a group and images [image, image + N) at one position.
template <int N, class W, class Write>
inline void dots_of_images(const TapsAtPosition<W>& job, Int outputs, Int image, const Write& write) {
    // Sums, the images' values and a weight share the registers.
    constexpr int most = kAccumulators / N >= 8 ? 8 : kAccumulators / N >= 4 ? 4 : 2;
    float sums[(8 * 4 + V - 1) / V * V];
    Int row = 0;
    for (; row + most <= outputs; row += most) {
        job.template dots<most, N>(row, image, sums);
        for (int r = 0; r < most; ++r)
            for (int n = 0; n < N; ++n) write(row + r, image + n, sums[r * N + n]);
    }
    if constexpr (most > 2)
        for (; row + 2 <= outputs; row += 2) {
            job.template dots<2, N>(row, image, sums);
            for (int r = 0; r < 2; ++r)
                for (int n = 0; n < N; ++n) write(row + r, image + n, sums[r * N + n]);
        }
    for (; row < outputs; ++row) {
        job.template dots<1, N>(row, image, sums);
        for (int n = 0; n < N; ++n) write(row, image + n, sums[n]);
    }
}

// Outputs of a group in parts, so that there are tasks enough for the threads even where positions are few.
inline Int outputs_per_task(const Problem& p, Int tiles, Int least) {
    Int per_task = p.group_outputs;
    while (per_task > least && tiles * p.groups * ceil_div(p.group_outputs, per_task) < 8) per_task = ceil_div(per_task, 2);
    return per_task;
}

constexpr Int kImagesAtOnce = 16;  // windows that are copied together

template <class W>
int forward_taps(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    const Int tiles = ceil_div(w.positions, V);
    const Int per_task = outputs_per_task(p, tiles, 8), parts = ceil_div(p.group_outputs, per_task);
    const Int row = whole_vectors(p.terms);
    const Int private_floats = smaller(kImagesAtOnce, p.images) * row + V;
    const Int aligned = whole_vectors(private_floats) + V;
    float* memory = scratch(p.threads * aligned);
    if (memory == nullptr) return STRIATE_NO_MEMORY;

    for_each(p.threads, tiles * p.groups * parts, [=, &p, &w](Int task, int worker) {
        const Int tile = task / (p.groups * parts) * V, group = task / parts % p.groups;
        const Int output = group * p.group_outputs + task % parts * per_task;
        const Int outputs = smaller(per_task, p.group_outputs - task % parts * per_task);
        float* window = memory + worker * aligned;
        for (Int position = tile; position < smaller(tile + V, w.positions); ++position) {
            const Int kernel = w.kernel[position];
            for (Int first = 0; first < p.images; first += kImagesAtOnce) {
                const Int images = smaller(kImagesAtOnce, p.images - first);
                for (Int n = 0; n < images; ++n)
                    gather(w, x + ((first + n) * p.channels + group * p.group_channels) * w.inputs, p.group_channels,
                           position, window + n * row);
                TapsAtPosition<W> job{weight + (kernel * p.outputs + output) * p.terms, window, p.terms, row};
                auto write = [&](Int o, Int n, float sum) {
                    y[((first + n) * p.outputs + output + o) * w.positions + position] =
                        sum + bias_of(bias, kernel, output + o);
                };
                Int n = 0;
                for (; n + 4 <= images; n += 4) dots_of_images<4>(job, outputs, n, write);
                if (images - n == 3) dots_of_images<3>(job, outputs, n, write);
                if (images - n == 2) dots_of_images<2>(job, outputs, n, write);
                if (images - n == 1) dots_of_images<1>(job, outputs, n, write);
            }
        }
    });
    return STRIATE_OK;
}

}  // namespace
}  // namespace striate
