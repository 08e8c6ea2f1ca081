// y with images as lanes: rows of outputs times vectors of images, a weight broadcast to all of them.
#pragma once

#include <type_traits>

#include "lanes.h"
#include "operands.h"

namespace striate {
namespace {

constexpr Int kLine = 16;  // floats of a cache line
// About how many floats ahead small kernels are fetched: one is used up before the next has come from memory.
constexpr Int kFetchedAhead = 2000;

// The steps of a position's sums, for each channel: pairs of taps first, then single ones.
struct Steps {
    const Tap* taps;
    int pairs, count;
};

template <bool kPaired>
inline Steps steps_of(const Pattern& pattern) {
    if constexpr (kPaired) return {pattern.pairs, pattern.pair_count, pattern.pair_count + pattern.single_count};
    return {pattern.taps, 0, pattern.tap_count};
}

// Rows of weights that are fetched before they are needed, some lines at a time.
struct Fetched {
    const float* row;
    Int length, step;  // of a row, and to the next one
    int lines;
    Int along = 0;

    void some() {
        for (int line = 0; line < lines; ++line) {
            __builtin_prefetch(row + along, 0, 3);
            along += kLine;
            if (along >= length) {
                along = 0;
                row += step;
            }
        }
    }
};

// Outputs of one position: rows are outputs, lanes are images (of x transposed to channel, position, image). With few
// images each has two lanes: two taps that lie side by side are then one step, and the sums of both lanes its result.
template <bool kPaired>
struct ImagesAtPosition {
    const float* weight;  // the first output's row
    Int weight_row;       // from one output's to the next
    const float* x;       // the group's first channel at the base of the position
    Int channels, x_channel, width;
    Int taps;             // of the whole kernel
    Steps steps;
    Bias bias;
    Int kernel, output;
    float* out;
    Int out_row;
    bool add;             // to what is in out, instead of starting from the bias
    Int rows;
    const float* next;    // rows of weights that are needed after these
    Int next_length;      // of each, or more where one lies behind the other
    float next_lines;     // cache lines of such a row for each step of these

    template <int R, int S>
    void block(Int row, Int vector) const {
        Sums<R, S> sums;
        const Int step = out_row;  // a store of a vector might change it, for all that the compiler knows
        float* to = out + row * step + vector * V;
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
            const Vec offset = splat(bias_of(bias, kernel, output + row + r));
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s)
                sums.at[r][s] = add ? load(to + r * step + s * V) : kPaired ? even(offset) : offset;
        }
        // The hardware follows so many rows at once only in part.
        Fetched ahead{row + R < rows ? weight + (row + R) * weight_row : next, next_length, weight_row,
                      static_cast<int>(static_cast<float>(R) * next_lines + 0.999f)};
        // The next channel's window too, where there are enough of them for it to lie in the second cache.
        const bool far = channels > 4;
        const float* factors = weight + row * weight_row;
        const float* from = x + vector * V;
        for (Int c = 0; c < channels; ++c) {
            int t = 0;
            Vec values[S];
            if constexpr (kPaired)
                for (; t < steps.pairs; ++t) {
                    load_all<S>(values, from + steps.taps[t].offset * width);
                    sums.template multiply_add<TwoFactors>(factors + steps.taps[t].tap, weight_row, values);
                    ahead.some();
                }
            for (; t < steps.count; ++t) {
                const float* window = from + steps.taps[t].offset * width;
                load_all<S>(values, window);
                if (far)
                    for (int s = 0; s < S; ++s) __builtin_prefetch(window + x_channel + s * V, 0, 3);
                using Step = std::conditional_t<kPaired, EvenFactor, OneFactor>;
                sums.template multiply_add<Step>(factors + steps.taps[t].tap, weight_row, values);
                ahead.some();
            }
            factors += taps;
            from += x_channel;
        }
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) store(to + r * step + s * V, sums.at[r][s]);
    }
};

// Whether images are so few that each has two lanes, and taps lie side by side.
inline bool pairs_taps(const Problem& p) {
    const Windows& w = *p.windows;
    return 2 * p.images <= V && 2 * static_cast<double>(w.taps) >= 3 * w.runs_per_position;
}

// How the outputs of a pass over some images are cut into tasks.
struct ImagesPlan {
    Int width;       // images of a pass
    Int tile;        // positions of a task, whose results wait to be transposed back
    Int outputs;     // of a task
    Int channels;    // whose windows stay in the second cache while all outputs are worked through
};

inline ImagesPlan plan_images(const Problem& p, Int width) {
    constexpr Int results = 96 << 10, windows = 32 << 10, rows = kAccumulators / 2;
    const Windows& w = *p.windows;
    ImagesPlan plan;
    plan.width = width;
    // Where sums are long, windows are read again for every part of the outputs: one part. Where they are short,
    // writing y is what takes time, and long stretches of positions make it quick.
    plan.outputs = p.terms >= 512 ? 256 : larger(rows, results / (64 * plan.width));
    plan.outputs = smaller(p.group_outputs, plan.outputs);
    plan.tile = smaller(64, larger(4, results / (plan.outputs * plan.width)));
    if (plan.tile > V) plan.tile = plan.tile / V * V;
    const Int parts = ceil_div(p.group_outputs, plan.outputs) * p.groups, threads = p.threads;
    // Too few tasks for threads that do not start at the same time, or some left to do their last one alone.
    const auto uneven = [&] {
        const Int tiles = ceil_div(w.positions, plan.tile), others = tiles * parts - 1;
        const Int last = w.positions - (tiles - 1) * plan.tile;
        const Int longest = larger(ceil_div(others, threads) * plan.tile, others / threads * plan.tile + last);
        return tiles * parts < 4 * threads || 16 * longest * threads > 17 * w.positions * parts;
    };
    while (uneven() && plan.tile > 4) plan.tile = plan.tile > V ? plan.tile - V : plan.tile / 2;
    const auto tasks = [&] { return ceil_div(w.positions, plan.tile) * p.groups * ceil_div(p.group_outputs, plan.outputs); };
    while (tasks() < 4 * threads && plan.outputs > rows) plan.outputs = rows * ceil_div(plan.outputs, 2 * rows);
    const Int fitting = larger(1, windows / (w.taps * plan.width));
    plan.channels = ceil_div(p.group_channels, ceil_div(p.group_channels, fitting));
    return plan;
}

template <bool kPaired, class W>
int forward_images(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    const Bands bands = plan_bands<Keep::read>(p);
    const ImagesPlan plan = plan_images(p, bands.width);
    const Int width = plan.width, parts = ceil_div(p.group_outputs, plan.outputs);
    // bfloat16 rows are widened some at a time.
    constexpr bool widen_rows = sizeof(W) != sizeof(float);
    const Int rows = widen_rows ? smaller(kAccumulators / 2, plan.outputs) : plan.outputs;
    const Int kernel_floats = p.outputs * p.terms;
    // All channels of an output's weights are used together: one output's lie behind another's.
    const bool adjacent = plan.channels == p.group_channels;
    const Int ahead = kernel_floats * larger(1, kFetchedAhead / kernel_floats);
    const Int result_row = plan.tile * width + V, results_floats = plan.outputs * result_row;
    const Int private_floats = results_floats + (widen_rows ? whole_vectors(rows * plan.channels * w.taps) : 0);
    const Int lanes_floats = p.channels * bands.inputs * width;
    float* lanes = scratch(lanes_floats + p.threads * private_floats);
    if (lanes == nullptr) return STRIATE_NO_MEMORY;

    for (Int image = 0; image < p.images; image += width) {
        const Int images = smaller(width, p.images - image);
        for (Int first = 0; first < w.positions;) {
            const Band band = bands.next<Keep::read>(w, first, 0);
            const Int inputs = band.high - band.low, tiles = ceil_div(band.last - band.first, plan.tile);
            first = band.last;
            transpose_in(p, x, band.low, inputs, image, images, width, kPaired, lanes);
            for_each(p.threads, tiles * p.groups * parts, [=, &p, &w, &plan](Int task, int worker) {
                // Tile after tile of the same outputs: what is written then lies side by side.
                const Int tile = band.first + task % tiles * plan.tile, group = task / tiles / parts;
                const Int output = task / tiles % parts * plan.outputs;
                const Int outputs = smaller(plan.outputs, p.group_outputs - output);
                const Int positions = smaller(plan.tile, band.last - tile);
                float* results = lanes + lanes_floats + worker * private_floats;
                float* widened = results + results_floats;
                ImagesAtPosition<kPaired> job;
                job.x_channel = inputs * width;
                job.width = width;
                job.taps = w.taps;
                job.bias = bias;
                job.out_row = result_row;
                // All positions with some channels before the next ones: their windows overlap.
                for (Int c = 0; c < p.group_channels; c += plan.channels) {
                    job.channels = smaller(plan.channels, p.group_channels - c);
                    job.add = c > 0;
                    // Of rows that do not start where a line does, one line more. Widened ones are in the cache.
                    const Int part = job.channels * w.taps;
                    job.next_length = adjacent ? kernel_floats : part + kLine;
                    const double row_lines = widen_rows ? 0 : static_cast<double>(adjacent ? part : part + kLine) / kLine;
                    for (Int position = tile; position < tile + positions;) {
                        // Neighbours with the same kernel go through it together.
                        Int end = position + 1;
                        while (end < tile + positions && w.kernel[end] == w.kernel[position]) ++end;
                        job.kernel = w.kernel[position];
                        for (Int o = 0; o < outputs; o += rows) {
                            job.rows = smaller(rows, outputs - o);
                            job.output = group * p.group_outputs + output + o;
                            const W* kernel = weight + (job.kernel * p.outputs + job.output) * p.terms + c * w.taps;
                            const Rows factors = as_float(kernel, p.terms, job.rows, job.channels * w.taps, widened);
                            job.weight = factors.first;
                            job.weight_row = factors.step;
                            job.next = adjacent ? job.weight + ahead : job.weight + kernel_floats;
                            for (Int at = position; at < end; ++at) {
                                job.steps = steps_of<kPaired>(w.patterns[w.pattern[at]]);
                                job.next_lines = static_cast<float>(row_lines) /
                                                 static_cast<float>(job.channels * larger(1, job.steps.count));
                                job.x = lanes + ((group * p.group_channels + c) * inputs + w.base[at] - band.low) * width;
                                job.out = results + o * result_row + (at - tile) * width;
                                cover(job, job.rows, width / V);
                            }
                        }
                        position = end;
                    }
                }
                for (Int o = 0; o < outputs; ++o) {
                    const Int channel = group * p.group_outputs + output + o;
                    const float* from = results + o * result_row;
                    float* to = y + (image * p.outputs + channel) * w.positions + tile;
                    if constexpr (kPaired)
                        pairs_to_images(from, images, positions, to, p.outputs * w.positions);
                    else
                        lanes_to_images(from, width, images, positions, to, p.outputs * w.positions,
                                        p.images * p.outputs * w.positions > kStreamed);
                }
            });
        }
    }
    return STRIATE_OK;
}

template <class W>
int forward_images(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    return pairs_taps(p) ? forward_images<true>(p, x, weight, bias, y) : forward_images<false>(p, x, weight, bias, y);
}

}  // namespace
}  // namespace striate
