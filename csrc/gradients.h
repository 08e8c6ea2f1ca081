// The gradients of the input and of the weight.
#pragma once

#include "forward.h"

namespace striate {
namespace {

// Which tasks may add into the input's gradient at the same time.
//
// Windows overlap, so positions are cut into a fixed number of chunks, and chunks that touch a common input
// get different colours. Colours are worked through one after the other: every sum has one order.
constexpr int kMostChunks = 16;

struct Chunks {
    int count;
    int colours;
    Int size;  // positions of a chunk
    int colour[kMostChunks];

    Int begin(int chunk) const { return chunk * size; }
};

inline Chunks chunks_of(const Windows& w, Int tasks_besides) {
    Chunks chunks;
    const Int tiles = ceil_div(w.positions, V);
    const Int wanted = tasks_besides >= 8 ? 1 : smaller(kMostChunks, tiles);
    chunks.size = ceil_div(tiles, wanted) * V;
    chunks.count = static_cast<int>(ceil_div(w.positions, chunks.size));
    chunks.colours = 1;
    chunks.colour[0] = 0;
    if (chunks.count == 1) return chunks;
    Int low[kMostChunks], high[kMostChunks];
    for (int i = 0; i < chunks.count; ++i) {
        low[i] = w.inputs;
        high[i] = 0;
        for (Int p = chunks.begin(i); p < smaller(chunks.begin(i) + chunks.size, w.positions); ++p) {
            const Pattern& pattern = w.patterns[w.pattern[p]];
            low[i] = smaller(low[i], w.base[p] + pattern.low);
            high[i] = larger(high[i], w.base[p] + pattern.high);
        }
        bool taken[kMostChunks] = {};
        for (int j = 0; j < i; ++j)
            if (low[i] < high[j] && low[j] < high[i]) taken[chunks.colour[j]] = true;
        int colour = 0;
        while (taken[colour]) ++colour;
        chunks.colour[i] = colour;
        if (colour + 1 > chunks.colours) chunks.colours = colour + 1;
    }
    return chunks;
}

// Calls f(chunk, part, worker) for every chunk and part in [0, parts), chunks that overlap never at once.
template <class F>
void for_each_chunk(int threads, const Chunks& chunks, Int parts, const F& f) {
    for (int colour = 0; colour < chunks.colours; ++colour) {
        int of_colour[kMostChunks], count = 0;
        for (int i = 0; i < chunks.count; ++i)
            if (chunks.colour[i] == colour) of_colour[count++] = i;
        for_each(threads, count * parts,
                 [&](Int task, int worker) { f(of_colour[task / parts], task % parts, worker); });
    }
}

inline Int channels_per_part(const Problem& p) { return smaller(p.group_channels, larger(16, ceil_div(p.group_channels, 16))); }

// Gradients of the taps of one position: rows are the taps inside, channel after channel, lanes are images.
struct TapGradients {
    const float* weight;  // of the first channel, for the first output
    Int terms;            // from one output's row to the next
    Int taps;
    const Tap* inside;
    int inside_count;
    const float* gy;      // gy[output * gy_row + image]
    Int gy_row, outputs;
    float* gx;            // the first channel at the base of the position
    Int gx_channel, width;
    Int to_next;          // from these weights to those of the next position

    template <int R, int S>
    void block(Int row, Int vector) const {
        const float* factors[R];
        float* to[R];
        Int channel = row / inside_count;
        int tap = static_cast<int>(row % inside_count);
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
            factors[r] = weight + channel * taps + inside[tap].tap;
            to[r] = gx + channel * gx_channel + inside[tap].offset * width + vector * V;
            if (++tap == inside_count) {
                tap = 0;
                ++channel;
            }
        }
        Sums<R, S> sums;
        sums.clear();
        const float* from = gy + vector * V;
        Int at = 0;
        for (Int o = 0; o < outputs; ++o, at += terms, from += gy_row) {
            Vec values[S];
            load_all<S>(values, from);
            // A step goes to another output's row, where the hardware foresees nothing.
            __builtin_prefetch(factors[0] + at + to_next, 0, 2);
            if constexpr (R > 16) __builtin_prefetch(factors[R / 2] + at + to_next, 0, 2);
#pragma GCC unroll 24
            for (int r = 0; r < R; ++r) {
                Vec factor = splat(factors[r][at]);
#pragma GCC unroll 4
                for (int s = 0; s < S; ++s) sums.at[r][s] = fma(factor, values[s], sums.at[r][s]);
            }
        }
        // One row at a time: a window may read an input more than once (a reflected border).
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) store(to[r] + s * V, add(load(to[r] + s * V), sums.at[r][s]));
    }
};

inline void copy_rows(const float* from, Int from_row, Int rows, Int count, float* to, Int to_row) {
    for (Int r = 0; r < rows; ++r)
        std::memcpy(to + r * to_row, from + r * from_row, static_cast<std::size_t>(count) * sizeof(float));
}

inline int input_gradient_images(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Int width = images_per_pass(p.images);
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Chunks chunks = chunks_of(w, p.groups * parts);
    const Int outputs_at_once = smaller(p.group_outputs, 64);
    // Rows of weights are read across, an output a step. Where they are long, each step is on another page and in the
    // same few sets of the first cache: a copy of the part in use is then read instead.
    const bool packs = p.terms >= 1024;
    const Int gradients_floats = outputs_at_once * V * width, packed_row = whole_vectors(part * w.taps);
    const Int private_floats = gradients_floats + (packs ? outputs_at_once * packed_row : 0);
    const Int lanes_floats = p.channels * w.inputs * width;
    float* lanes = scratch(lanes_floats + p.threads * private_floats);
    if (lanes == nullptr) return STRIATE_NO_MEMORY;
    const Int stretches = ceil_div(w.inputs, kStretch);

    for (Int image = 0; image < p.images; image += width) {
        const Int images = smaller(width, p.images - image);
        for_each(p.threads, p.channels,
                 [=, &w](Int task, int) { fill_zero(lanes + task * w.inputs * width, w.inputs * width); });
        for_each_chunk(p.threads, chunks, p.groups * parts, [=, &p, &w, &chunks](int chunk, Int task, int worker) {
            const Int group = task / parts, channel = group * p.group_channels + task % parts * part;
            const Int channels = smaller(part, p.group_channels - task % parts * part);
            const Int end = smaller(chunks.begin(chunk) + chunks.size, w.positions);
            float* transposed = lanes + lanes_floats + worker * private_floats;
            TapGradients job;
            float* packed = transposed + gradients_floats;
            job.terms = packs ? packed_row : p.terms;
            job.taps = w.taps;
            job.gy_row = V * width;
            job.gx_channel = w.inputs * width;
            job.width = width;
            job.to_next = w.own_kernels && !packs ? p.outputs * p.terms : 0;
            for (Int tile = chunks.begin(chunk); tile < end; tile += V) {
                const Int positions = smaller(V, end - tile);
                for (Int o = 0; o < p.group_outputs; o += outputs_at_once) {
                    const Int output = group * p.group_outputs + o;
                    job.outputs = smaller(outputs_at_once, p.group_outputs - o);
                    for (Int i = 0; i < job.outputs; ++i)
                        images_to_lanes(gy + (image * p.outputs + output + i) * w.positions + tile,
                                        p.outputs * w.positions, images, positions, transposed + i * V * width, width);
                    for (Int at = tile; at < tile + positions; ++at) {
                        const Pattern& pattern = w.patterns[w.pattern[at]];
                        if (pattern.tap_count == 0) continue;
                        job.inside = pattern.taps;
                        job.inside_count = pattern.tap_count;
                        job.weight = weight + (w.kernel[at] * p.outputs + output) * p.terms +
                                     task % parts * part * w.taps;
                        if (packs) {
                            copy_rows(job.weight, p.terms, job.outputs, channels * w.taps, packed, packed_row);
                            job.weight = packed;
                        }
                        job.gy = transposed + (at - tile) * width;
                        job.gx = lanes + (channel * w.inputs + w.base[at]) * width;
                        cover(job, channels * job.inside_count, width / V);
                    }
                }
            }
        });
        for_each(p.threads, p.channels * stretches, [=, &p, &w](Int task, int) {
            const Int channel = task / stretches, start = task % stretches * kStretch;
            lanes_to_images(lanes + (channel * w.inputs + start) * width, width, images,
                            smaller(kStretch, w.inputs - start),
                            gx + (image * p.channels + channel) * w.inputs + start, p.channels * w.inputs,
                            p.images * p.channels * w.inputs > kStreamed);
        });
    }
    return STRIATE_OK;
}

// Adds the gradients of a window's taps to the inputs that they read.
inline void scatter(const Windows& w, const Pattern& pattern, Int channels, const float* from, float* gx) {
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            const Run run = pattern.runs[r];
            for (Int done = 0; done < run.length; done += V) {
                const Int left = run.length - done;
                float* to = gx + run.offset + done;
                const float* values = from + run.tap + done;
                if (left >= V)
                    store(to, add(load(to), load(values)));
                else
                    store(to, add(load(to, left), load(values, left)), left);
            }
        }
        from += w.taps;
        gx += w.inputs;
    }
}

inline int input_gradient_taps(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Chunks chunks = chunks_of(w, p.groups * parts);
    const Int at_once = smaller(kImagesAtOnce, p.images), row = whole_vectors(part * w.taps);
    const Int private_floats = at_once * row + whole_vectors(at_once * p.group_outputs);
    float* memory = scratch(p.threads * private_floats);
    if (memory == nullptr) return STRIATE_NO_MEMORY;
    constexpr Int outputs_at_once = 16;  // weight rows that are read side by side

    for_each(p.threads, p.images * p.channels, [=, &w](Int task, int) { fill_zero(gx + task * w.inputs, w.inputs); });
    for_each_chunk(p.threads, chunks, p.groups * parts, [=, &p, &w, &chunks](int chunk, Int task, int worker) {
        const Int group = task / parts, skipped = task % parts * part;
        const Int channels = smaller(part, p.group_channels - skipped);
        const Int channel = group * p.group_channels + skipped, output = group * p.group_outputs;
        const Int end = smaller(chunks.begin(chunk) + chunks.size, w.positions);
        float* window = memory + worker * private_floats;
        float* factors = window + at_once * row;
        for (Int at = chunks.begin(chunk); at < end; ++at) {
            for (Int first = 0; first < p.images; first += at_once) {
                const Int images = smaller(at_once, p.images - first);
                for (Int n = 0; n < images; ++n)
                    for (Int o = 0; o < p.group_outputs; ++o)
                        factors[n * p.group_outputs + o] =
                            gy[((first + n) * p.outputs + output + o) * w.positions + at];
                for (Int o = 0; o < p.group_outputs; o += outputs_at_once) {
                    Product<false> job{factors + o, p.group_outputs, 1,
                                       weight + (w.kernel[at] * p.outputs + output + o) * p.terms + skipped * w.taps,
                                       p.terms, smaller(outputs_at_once, p.group_outputs - o),
                                       window, row, channels * w.taps, o > 0};
                    cover(job, images, ceil_div(channels * w.taps, V));
                }
                for (Int n = 0; n < images; ++n)
                    scatter(w, w.patterns[w.pattern[at]], channels, window + n * row,
                            gx + ((first + n) * p.channels + channel) * w.inputs + w.base[at]);
            }
        }
    });
    return STRIATE_OK;
}

// gx += factor * weight, along the rows of one window.
inline void add_rows(const Windows& w, const Pattern& pattern, Int channels, const float* weight, float factor,
                     float* gx) {
    const Vec factors = splat(factor);
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            const Run run = pattern.runs[r];
            for (Int done = 0; done < run.length; done += V) {
                const Int left = run.length - done;
                float* to = gx + run.offset + done;
                const float* from = weight + run.tap + done;
                if (left >= V)
                    store(to, fma(factors, load(from), load(to)));
                else
                    store(to, fma(factors, load(from, left), load(to, left)), left);
            }
        }
        weight += w.taps;
        gx += w.inputs;
    }
}

inline int input_gradient_rows(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Chunks chunks = chunks_of(w, p.groups * parts);
    for_each(p.threads, p.images * p.channels, [=, &w](Int task, int) { fill_zero(gx + task * w.inputs, w.inputs); });
    for_each_chunk(p.threads, chunks, p.groups * parts, [=, &p, &w, &chunks](int chunk, Int task, int) {
        const Int group = task / parts, skipped = task % parts * part;
        const Int channels = smaller(part, p.group_channels - skipped);
        const Int end = smaller(chunks.begin(chunk) + chunks.size, w.positions);
        for (Int at = chunks.begin(chunk); at < end; ++at)
            for (Int o = group * p.group_outputs; o < (group + 1) * p.group_outputs; ++o)
                for (Int n = 0; n < p.images; ++n)
                    add_rows(w, w.patterns[w.pattern[at]], channels,
                             weight + (w.kernel[at] * p.outputs + o) * p.terms + skipped * w.taps,
                             gy[(n * p.outputs + o) * w.positions + at],
                             gx + (n * p.channels + group * p.group_channels + skipped) * w.inputs + w.base[at]);
    });
    return STRIATE_OK;
}

inline int input_gradient(const Problem& p, const float* gy, const float* weight, float* gx) {
    switch (p.order) {
        case STRIATE_IMAGES: return input_gradient_images(p, gy, weight, gx);
        case STRIATE_TAPS: return input_gradient_taps(p, gy, weight, gx);
        case STRIATE_ROWS: return input_gradient_rows(p, gy, weight, gx);
        default: return STRIATE_UNSUPPORTED;
    }
}

// How the gradient of the weight is cut: rows are outputs, lanes are taps, and the sum runs over columns, the
// images of the positions of a kernel.
struct WeightGradientPlan {
    Int columns;            // at once
    Int channels;           // at once: their windows stay in the second cache
    Int row;                // of the copied windows
    Int outputs, parts;     // of a task
    Int tile;               // kernels of a task
    bool transposed;        // y's gradient is transposed for all positions of a tile together
};

inline WeightGradientPlan plan_weight_gradient(const Problem& p) {
    const Windows& w = *p.windows;
    constexpr Int window_floats = 64 << 10, gradient_floats = 256 << 10;
    WeightGradientPlan plan;
    plan.transposed = w.own_kernels && p.images >= V / 2 && p.images <= 256;
    Int most = 1;
    for (Int k = 0; k < w.kernels && !w.own_kernels; ++k) most = larger(most, w.first[k + 1] - w.first[k]);
    plan.columns = larger(1, smaller(256, most * p.images));
    const Int fitting = larger(1, window_floats / (plan.columns * w.taps));
    plan.channels = ceil_div(p.group_channels, ceil_div(p.group_channels, fitting));
    plan.row = whole_vectors(plan.channels * w.taps);
    plan.tile = w.own_kernels ? V : 1;
    const Int tiles = ceil_div(w.kernels, plan.tile);
    plan.outputs = p.group_outputs;
    if (plan.transposed)
        plan.outputs = smaller(plan.outputs, larger(16, gradient_floats / (V * whole_vectors(p.images))));
    while (plan.outputs > 32 && tiles * p.groups * ceil_div(p.group_outputs, plan.outputs) < 8)
        plan.outputs = ceil_div(plan.outputs, 2);
    plan.parts = ceil_div(p.group_outputs, plan.outputs);
    return plan;
}

inline int weight_gradient(const Problem& p, const float* gy, const float* x, float* gw) {
    const Windows& w = *p.windows;
    const WeightGradientPlan plan = plan_weight_gradient(p);
    const Int gy_row = plan.transposed ? V * whole_vectors(p.images) : whole_vectors(plan.columns);
    const Int window_floats = plan.columns * plan.row + V;
    const Int private_floats = whole_vectors(window_floats) + plan.outputs * gy_row;
    float* memory = scratch(p.threads * private_floats);
    if (memory == nullptr) return STRIATE_NO_MEMORY;

    const Int tasks_of_tile = p.groups * plan.parts;
    for_each(p.threads, ceil_div(w.kernels, plan.tile) * tasks_of_tile, [=, &p, &w, &plan](Int task, int worker) {
        const Int first_kernel = task / tasks_of_tile * plan.tile, group = task / plan.parts % p.groups;
        const Int skipped = task % plan.parts * plan.outputs;
        const Int output = group * p.group_outputs + skipped, outputs = smaller(plan.outputs, p.group_outputs - skipped);
        const Int end = smaller(first_kernel + plan.tile, w.kernels);
        float* windows = memory + worker * private_floats;
        float* factors = windows + whole_vectors(window_floats);
        if (plan.transposed)
            for (Int o = 0; o < outputs; ++o)
                images_to_lanes(gy + (output + o) * w.positions + first_kernel, p.outputs * w.positions, p.images,
                                end - first_kernel, factors + o * gy_row, gy_row / V);
        for (Int kernel = first_kernel; kernel < end; ++kernel) {
            const int32_t* members = w.members + w.first[kernel];
            const Int size = w.first[kernel + 1] - w.first[kernel], columns = size * p.images;
            if (columns == 0)
                fill_zero(gw + (kernel * p.outputs + output) * p.terms, outputs * p.terms);
            for (Int first = 0; first < columns; first += plan.columns) {
                const Int count = smaller(plan.columns, columns - first);
                const float* a = factors + (kernel - first_kernel) * (gy_row / V);
                if (!plan.transposed) {
                    a = factors;
                    for (Int o = 0; o < outputs; ++o)
                        for (Int i = 0; i < count; ++i)
                            factors[o * gy_row + i] =
                                gy[((first + i) / size * p.outputs + output + o) * w.positions +
                                   members[(first + i) % size]];
                }
                for (Int c = 0; c < p.group_channels; c += plan.channels) {
                    const Int channels = smaller(plan.channels, p.group_channels - c);
                    for (Int i = 0; i < count; ++i)
                        gather(w,
                               x + ((first + i) / size * p.channels + group * p.group_channels + c) * w.inputs,
                               channels, members[(first + i) % size], windows + i * plan.row);
                    Product<true> job{a, gy_row, 1, windows, plan.row, count,
                                      gw + (kernel * p.outputs + output) * p.terms + c * w.taps, p.terms,
                                      channels * w.taps, first > 0};
                    cover(job, outputs, ceil_div(channels * w.taps, V));
                }
            }
        }
    });
    return STRIATE_OK;
}

}  // namespace
}  // namespace striate
