// Moving tensors between the layout of their owner and those in which the arithmetic runs.
#pragma once

#include "blocks.h"
#include "pool.h"

namespace striate {
namespace {

// Runs f(task, worker) for each task; see parallel().
template <class F>
inline void for_each(int threads, Int tasks, const F& f) {
    parallel(
        threads, tasks,
        [](void* context, Int task, int worker) { (*static_cast<const F*>(context))(task, worker); },
        const_cast<F*>(&f));
}

inline void fill_zero(float* to, Int count) { std::memset(to, 0, static_cast<std::size_t>(count) * sizeof(float)); }

// to[j * to_row + i] = from[i * image + j] for i < images, j < positions: images become lanes.
// Lanes up to the end of the last vector are zero.
inline void images_to_lanes(const float* from, Int image, Int images, Int positions, float* to, Int to_row) {
    for (Int j = 0; j < positions; j += V) {
        Int columns = smaller(V, positions - j);
        for (Int i = 0; i < images; i += V) {
            Int rows = smaller(V, images - i);
            Vec tile[V];
            for (int r = 0; r < V; ++r) {
                const float* row = from + (i + r) * image + j;
                tile[r] = r >= rows ? zero() : columns == V ? load(row) : load(row, columns);
            }
            transpose(tile);
            for (Int c = 0; c < columns; ++c) store(to + (j + c) * to_row + i, tile[c]);
        }
    }
}

// Results that are larger than this do not stay in a cache until they are read.
constexpr Int kStreamed = 2 << 20;

// The way back: to[i * image + j] = from[j * from_row + i]. `streamed`: whole lines go past the caches.
inline void lanes_to_images(const float* from, Int from_row, Int images, Int positions, float* to, Int image,
                            bool streamed) {
    streamed = streamed && reinterpret_cast<uintptr_t>(to) % (V * sizeof(float)) == 0 && image % V == 0;
    for (Int j = 0; j < positions; j += V) {
        Int rows = smaller(V, positions - j);
        for (Int i = 0; i < images; i += V) {
            Int columns = smaller(V, images - i);
            Vec tile[V];
            for (int r = 0; r < V; ++r) tile[r] = r < rows ? load(from + (j + r) * from_row + i) : zero();
            transpose(tile);
            for (Int c = 0; c < columns; ++c) {
                float* row = to + (i + c) * image + j;
                if (rows < V)
                    store(row, tile[c], rows);
                else if (streamed)
                    stream(row, tile[c]);
                else
                    store(row, tile[c]);
            }
        }
    }
    if (streamed) fence();
}

// The window of one position and image, its channels one after the other as in the weight, zeros for padding.
// Writes up to the end of the last vector, with zeros there, and up to V floats beyond.
inline void gather(const Windows& windows, const float* x, Int channels, Int position, float* to) {
    const Pattern& pattern = windows.patterns[windows.pattern[position]];
    Int taps = windows.taps, count = channels * taps;
    if (pattern.tap_count < taps) fill_zero(to, count);
    const float* from = x + windows.base[position];
    for (Int c = 0; c < channels; ++c) {
        for (int r = 0; r < pattern.run_count; ++r) {
            Run run = pattern.runs[r];
            // A whole vector is stored, zeros behind a run's end: taps that they fall on are written later.
            for (Int done = 0; done < run.length; done += V) {
                Int left = run.length - done;
                const float* at = from + run.offset + done;
                store(to + run.tap + done, left >= V ? load(at) : load(at, left));
            }
        }
        to += taps;
        from += windows.inputs;
    }
    store(to, zero());
}

}  // namespace
}  // namespace striate
