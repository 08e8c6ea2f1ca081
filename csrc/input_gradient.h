// The gradient of the input, in the orders of enum striate_order.
#pragma once

#include "chunks.h"
#include "forward_taps.h"
#include "lanes.h"

namespace striate {
namespace {

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

// The inputs whose gradient is being summed, images as lanes: (channels, capacity, width) for inputs from `low` on,
// of which those below `high` have been begun.
struct LaneSums {
    const Problem& p;
    float* lanes;
    Int capacity, width;
    float* gx;
    Int image, images;
    Int low, high;

    float* at(Int channel, Int input) const { return lanes + (channel * capacity + input - low) * width; }

    // Writes out the inputs below `next_low`, to which nothing is added any more, and begins those up to `next_high`.
    void advance(Int next_low, Int next_high) {
        const Int inputs = p.windows->inputs, begun = smaller(next_low, high), kept = high - begun;
        const Int stretches = larger(1, ceil_div(next_low - low, kStretch));
        for_each(p.threads, p.channels * stretches, [=](Int task, int) {
            const Int channel = task / stretches, start = low + task % stretches * kStretch;
            const Int end = smaller(start + kStretch, next_low), summed = larger(start, smaller(end, begun));
            float* to = gx + (image * p.channels + channel) * inputs;
            lanes_to_images(at(channel, start), width, images, summed - start, to + start, p.channels * inputs,
                            p.images * p.channels * inputs > kStreamed);
            for (Int i = 0; i < images && end > summed; ++i)  // no window reads these
                fill_zero(to + i * p.channels * inputs + summed, end - summed);
        });
        for_each(p.threads, p.channels, [=](Int channel, int) {
            float* first = at(channel, low);
            if (kept > 0 && begun > low)
                std::memmove(first, at(channel, begun), static_cast<std::size_t>(kept * width) * sizeof(float));
            fill_zero(first + kept * width, (next_high - next_low - kept) * width);
        });
        low = next_low;
        high = next_high;
    }
};

inline int input_gradient_images(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Bands bands = plan_bands<Keep::incomplete>(p);
    const Int width = bands.width;
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Int outputs_at_once = smaller(p.group_outputs, 64);
    // Rows of weights are read across, an output a step. Where they are long, each step is on another page and in the
    // same few sets of the first cache: a copy of the part in use is then read instead.
    const bool packs = p.terms >= 1024;
    const Int gradients_floats = outputs_at_once * V * width, packed_row = whole_vectors(part * w.taps);
    const Int private_floats = gradients_floats + (packs ? outputs_at_once * packed_row : 0);
    const Int lanes_floats = p.channels * bands.inputs * width;
    float* lanes = scratch(lanes_floats + p.threads * private_floats);
    if (lanes == nullptr) return STRIATE_NO_MEMORY;

    for (Int image = 0; image < p.images; image += width) {
        const Int images = smaller(width, p.images - image);
        LaneSums sums{p, lanes, bands.inputs, width, gx, image, images, 0, 0};
        for (Int first = 0; first < w.positions;) {
            const Band band = bands.next<Keep::incomplete>(w, first, sums.high);
            const Chunks chunks = chunks_of(w, band.first, band.last, p.groups * parts);
            first = band.last;
            sums.advance(band.low, band.high);
            for_each_chunk(p.threads, chunks, p.groups * parts, [=, &p, &w, &chunks](int chunk, Int task, int worker) {
                const Int group = task / parts, channel = group * p.group_channels + task % parts * part;
                const Int channels = smaller(part, p.group_channels - task % parts * part);
                const Int end = chunks.end(chunk);
                float* transposed = lanes + lanes_floats + worker * private_floats;
                TapGradients job;
                float* packed = transposed + gradients_floats;
                job.terms = packs ? packed_row : p.terms;
                job.taps = w.taps;
                job.gy_row = V * width;
                job.gx_channel = bands.inputs * width;
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
                            job.gx = lanes + (channel * bands.inputs + w.base[at] - band.low) * width;
                            cover(job, channels * job.inside_count, width / V);
                        }
                    }
                }
            });
        }
        sums.advance(w.inputs, w.inputs);
    }
    return STRIATE_OK;
}

// gx += factor * from: what the taps of one window give to the inputs that they read, row by row.
inline void add_window(const Windows& w, const Pattern& pattern, Int channels, const float* from, float factor,
                       float* gx) {
    const Vec factors = splat(factor);
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            const Run run = pattern.runs[r];
            for (Int done = 0; done < run.length; done += V) {
                const Int left = run.length - done;
                float* to = gx + run.offset + done;
                const float* values = from + run.tap + done;
                if (left >= V)
                    store(to, fma(factors, load(values), load(to)));
                else
                    store(to, fma(factors, load(values, left), load(to, left)), left);
            }
        }
        from += w.taps;
        gx += w.inputs;
    }
}

inline int input_gradient_taps(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Chunks chunks = chunks_of(w, 0, w.positions, p.groups * parts);
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
        const Int end = chunks.end(chunk);
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
                                       window, row, channels * w.taps, o > 0, false};
                    cover(job, images, ceil_div(channels * w.taps, V));
                }
                for (Int n = 0; n < images; ++n)
                    add_window(w, w.patterns[w.pattern[at]], channels, window + n * row, 1.0f,
                               gx + ((first + n) * p.channels + channel) * w.inputs + w.base[at]);
            }
        }
    });
    return STRIATE_OK;
}

inline int input_gradient_rows(const Problem& p, const float* gy, const float* weight, float* gx) {
    const Windows& w = *p.windows;
    const Int part = channels_per_part(p), parts = ceil_div(p.group_channels, part);
    const Chunks chunks = chunks_of(w, 0, w.positions, p.groups * parts);
    for_each(p.threads, p.images * p.channels, [=, &w](Int task, int) { fill_zero(gx + task * w.inputs, w.inputs); });
    for_each_chunk(p.threads, chunks, p.groups * parts, [=, &p, &w, &chunks](int chunk, Int task, int) {
        const Int group = task / parts, skipped = task % parts * part;
        const Int channels = smaller(part, p.group_channels - skipped);
        const Int end = chunks.end(chunk);
        for (Int at = chunks.begin(chunk); at < end; ++at)
            for (Int o = group * p.group_outputs; o < (group + 1) * p.group_outputs; ++o)
                for (Int n = 0; n < p.images; ++n)
                    add_window(w, w.patterns[w.pattern[at]], channels,
                               weight + (w.kernel[at] * p.outputs + o) * p.terms + skipped * w.taps,
                               gy[(n * p.outputs + o) * w.positions + at],
                               gx + (n * p.channels + group * p.group_channels + skipped) * w.inputs + w.base[at]);
    });
    return STRIATE_OK;
}

inline int input_gradient(const Problem& p, const float* gy, const float* weight, float* gx) {
    switch (p.order) {
        case STRIATE_IMAGES:
            return plan_bands<Keep::incomplete>(p).fit ? input_gradient_images(p, gy, weight, gx)
                                                       : input_gradient_taps(p, gy, weight, gx);
        case STRIATE_TAPS: return input_gradient_taps(p, gy, weight, gx);
        case STRIATE_ROWS: return input_gradient_rows(p, gy, weight, gx);
        default: return STRIATE_UNSUPPORTED;
    }
}

}  // namespace
}  // namespace striate
