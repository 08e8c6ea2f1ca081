// y from x and the weight, in the four orders of enum striate_order.
#pragma once

#include "patches.h"
#include "striate.h"

namespace striate {
namespace {

inline const float* as_float(const float* from, Int, float*) { return from; }

// bfloat16 weights that meet many images are widened once, into `to`.
inline const float* as_float(const bfloat16* from, Int count, float* to) {
    Int i = 0;
    for (; i + V <= count; i += V) store(to + i, load(from + i));
    for (; i < count; ++i) to[i] = widen(from[i]);
    return to;
}

inline float bias_of(const Bias& bias, Int kernel, Int output) {
    return bias.data == nullptr ? 0.0f : bias.data[kernel * bias.kernel_step + output];
}

constexpr Int kLine = 16;  // floats of a cache line

// Outputs of one position: rows are outputs, lanes are images (of x transposed to channel, position, image).
struct ImagesAtPosition {
    const float* weight;  // the first output's row
    Int weight_row;       // channels * taps
    const float* x;       // the group's first channel at the base of the position
    Int channels, x_channel, width;
    Int taps;             // of the whole kernel
    const Tap* inside;
    int inside_count;
    Bias bias;
    Int kernel, output;
    float* out;
    Int out_row;
    bool add;             // to what is in out, instead of starting from the bias
    Int rows;
    const float* next;    // the weights that are needed after these rows

    template <int R, int S>
    void block(Int row, Int vector) const {
        Sums<R, S> sums;
        const float* start = out + row * out_row + vector * V;
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s)
                sums.at[r][s] = add ? load(start + r * out_row + s * V) : splat(bias_of(bias, kernel, output + row + r));
        }
        // The next block's weights are fetched while this one's are used, a line a step, row by row: by itself the
        // hardware follows so many rows at once only in part.
        const float* ahead = row + R < rows ? weight + (row + R) * weight_row : next;
        int ahead_row = 0;
        const float* factors = weight + row * weight_row;
        const float* from = x + vector * V;
        for (Int c = 0; c < channels; ++c) {
            for (int t = 0; t < inside_count; ++t) {
                Vec values[S];
                load_all<S>(values, from + inside[t].offset * width);
                sums.multiply_add(factors + inside[t].tap, weight_row, values);
                __builtin_prefetch(ahead, 0, 2);
                if constexpr (R > 16) __builtin_prefetch(ahead + weight_row, 0, 2);
                constexpr int lines = R > 16 ? 2 : 1;
                ahead += lines * weight_row;
                if ((ahead_row += lines) == R) {
                    ahead_row = 0;
                    ahead += kLine - R * weight_row;
                }
            }
            factors += taps;
            from += x_channel;
        }
        float* to = out + row * out_row + vector * V;
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) store(to + r * out_row + s * V, sums.at[r][s]);
    }
};

// How many images stand side by side in a transposed copy: all, or even parts of at most four vectors.
inline Int images_per_pass(Int images) {
    Int vectors = ceil_div(images, V);
    return V * ceil_div(vectors, larger(1, ceil_div(vectors, 64 / V)));
}

constexpr Int kStretch = 2048;  // positions that one task transposes

// x (N, C, L) -> lanes (C, L, width), for the images from `image` on.
inline void transpose_in(const Problem& p, const float* x, Int channels, Int positions, Int image, Int images,
                         Int width, float* lanes) {
    Int stretches = ceil_div(positions, kStretch);
    for_each(p.threads, channels * stretches, [=](Int task, int) {
        Int channel = task / stretches, start = task % stretches * kStretch;
        images_to_lanes(x + (image * channels + channel) * positions + start, channels * positions, images,
                        smaller(kStretch, positions - start), lanes + (channel * positions + start) * width, width);
    });
}

// How the outputs of a pass over some images are cut into tasks.
struct ImagesPlan {
    Int width;       // images of a pass
    Int tile;        // positions of a task, whose results wait to be transposed back
    Int outputs;     // of a task
    Int channels;    // whose windows stay in the second cache while all outputs are worked through
};

inline ImagesPlan plan_images(const Problem& p) {
    constexpr Int results = 48 << 10, windows = 48 << 10, rows = kAccumulators / 2;
    const Windows& w = *p.windows;
    ImagesPlan plan;
    plan.width = images_per_pass(p.images);
    // Where sums are long, windows are read again for every part of the outputs: one part. Where they are short,
    // writing y is what takes time, and long stretches of positions make it quick.
    plan.outputs = p.terms >= 512 ? 256 : larger(rows, results / (64 * plan.width));
    plan.outputs = smaller(p.group_outputs, plan.outputs);
    plan.tile = smaller(64, larger(4, results / (plan.outputs * plan.width)));
    if (plan.tile > V) plan.tile = plan.tile / V * V;
    const auto tasks = [&] { return ceil_div(w.positions, plan.tile) * p.groups * ceil_div(p.group_outputs, plan.outputs); };
    while (tasks() < 8 && plan.tile > 4) plan.tile /= 2;
    while (tasks() < 8 && plan.outputs > rows) plan.outputs = rows * ceil_div(plan.outputs, 2 * rows);
    const Int fitting = larger(1, windows / (w.taps * plan.width));
    plan.channels = ceil_div(p.group_channels, ceil_div(p.group_channels, fitting));
    return plan;
}

template <class W>
int forward_images(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    const Windows& w = *p.windows;
    const ImagesPlan plan = plan_images(p);
    const Int width = plan.width;
    const Int tiles = ceil_div(w.positions, plan.tile), parts = ceil_div(p.group_outputs, plan.outputs);
    // bfloat16 rows are widened some at a time.
    constexpr bool widen_rows = sizeof(W) != sizeof(float);
    const Int rows = widen_rows ? smaller(kAccumulators / 2, plan.outputs) : plan.outputs;
    const Int results_floats = plan.outputs * plan.tile * width;
    const Int private_floats = results_floats + (widen_rows ? whole_vectors(rows * p.terms) : 0);
    const Int lanes_floats = p.channels * w.inputs * width;
    float* lanes = scratch(lanes_floats + p.threads * private_floats);
    if (lanes == nullptr) return STRIATE_NO_MEMORY;

    for (Int image = 0; image < p.images; image += width) {
        const Int images = smaller(width, p.images - image);
        transpose_in(p, x, p.channels, w.inputs, image, images, width, lanes);
        for_each(p.threads, tiles * p.groups * parts, [=, &p, &w, &plan](Int task, int worker) {
            const Int tile = task / (p.groups * parts) * plan.tile, group = task / parts % p.groups;
            const Int output = task % parts * plan.outputs;
            const Int outputs = smaller(plan.outputs, p.group_outputs - output);
            const Int positions = smaller(plan.tile, w.positions - tile);
            float* results = lanes + lanes_floats + worker * private_floats;
            ImagesAtPosition job;
            job.weight_row = p.terms;
            job.x_channel = w.inputs * width;
            job.width = width;
            job.taps = w.taps;
            job.bias = bias;
            job.out_row = plan.tile * width;
            for (Int position = tile; position < tile + positions;) {
                // Neighbours with the same kernel go through it together.
                Int end = position + 1;
                while (end < tile + positions && w.kernel[end] == w.kernel[position]) ++end;
                job.kernel = w.kernel[position];
                for (Int o = 0; o < outputs; o += rows) {
                    const Int some = smaller(rows, outputs - o);
                    job.output = group * p.group_outputs + output + o;
                    const float* kernel = as_float(weight + (job.kernel * p.outputs + job.output) * p.terms,
                                                   some * p.terms, results + results_floats);
                    job.rows = some;
                    for (Int c = 0; c < p.group_channels; c += plan.channels) {
                        job.channels = smaller(plan.channels, p.group_channels - c);
                        job.weight = kernel + c * w.taps;
                        job.add = c > 0;
                        job.next = c + plan.channels < p.group_channels ? job.weight + plan.channels * w.taps
                                                                        : kernel + p.outputs * p.terms;
                        for (Int at = position; at < end; ++at) {
                            const Pattern& pattern = w.patterns[w.pattern[at]];
                            job.inside = pattern.taps;
                            job.inside_count = pattern.tap_count;
                            job.x = lanes + ((group * p.group_channels + c) * w.inputs + w.base[at]) * width;
                            job.out = results + (o * plan.tile + at - tile) * width;
                            cover(job, some, width / V);
                        }
                    }
                }
                position = end;
            }
            for (Int o = 0; o < outputs; ++o) {
                const Int channel = group * p.group_outputs + output + o;
                lanes_to_images(results + o * plan.tile * width, width, images, positions,
                                y + (image * p.outputs + channel) * w.positions + tile, p.outputs * w.positions,
                                p.images * p.outputs * w.positions > kStreamed);
            }
        });
    }
    return STRIATE_OK;
}

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
            const float* factors =
                as_float(weight + (kernel * p.outputs + channel) * p.terms, some * p.terms, results + rows * width);
            Product<true> job{factors, p.terms, 1, panel, width, p.terms, results, width, whole_vectors(columns), false};
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

template <class W>
int forward(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    switch (p.order) {
        case STRIATE_IMAGES: return forward_images(p, x, weight, bias, y);
        case STRIATE_TAPS: return forward_taps(p, x, weight, bias, y);
        case STRIATE_ROWS: return forward_rows(p, x, weight, bias, y);
        case STRIATE_POSITIONS: return forward_positions(p, x, weight, bias, y);
        default: return STRIATE_UNSUPPORTED;
    }
}

}  // namespace
}  // namespace striate
