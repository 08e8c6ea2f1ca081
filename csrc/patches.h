// Moving tensors between the layout of their owner and those in which the arithmetic runs.
#pragma once

#include "blocks.h"
#include "pool.h"
#include "striate.h"

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

// As images_to_lanes for at most V / 2 images: lanes 2 * i and 2 * i + 1 are image i at j and at j + 1, or zero where
// j + 1 is not below `readable`.
inline void images_to_pairs(const float* from, Int image, Int images, Int positions, Int readable, float* to) {
    for (Int j = 0; j < positions; j += V - 1) {
        const Int columns = smaller(V, readable - j);
        Vec tile[V];
        for (int r = 0; r < V; ++r)
            tile[r] = r < images ? load(from + r * image + j, columns) : zero();
        transpose(tile);
        for (int c = 0; c < V - 1; ++c)
            if (j + c < positions) store(to + (j + c) * V, interleave(tile[c], tile[c + 1]));
    }
}

// Results that are larger than this do not stay in a second cache until they are read; written past the caches, their
// lines need not be read first.
constexpr Int kStreamed = 1 << 20;

// Lines of a row that are streamed one after the other: memory takes four together several times as fast as one here
// and one there.
constexpr Int kLines = 4;

// The way back, past the caches: rows of `count` vectors, each row's one after the other.
inline void stream_lanes(const float* from, Int from_row, Int images, Int count, float* to, Int image) {
    Vec rows[V][kLines];
    for (Int i = 0; i < images; i += V) {
        const Int columns = smaller(V, images - i);
        for (Int line = 0; line < count; ++line) {
            Vec tile[V];
            for (int r = 0; r < V; ++r) tile[r] = load(from + (line * V + r) * from_row + i);
            transpose(tile);
            for (int c = 0; c < V; ++c) rows[c][line] = tile[c];
        }
        for (Int c = 0; c < columns; ++c)
            for (Int line = 0; line < count; ++line) stream(to + (i + c) * image + line * V, rows[c][line]);
    }
}

// The way back: to[i * image + j] = from[j * from_row + i]. `streamed`: whole lines go past the caches.
inline void lanes_to_images(const float* from, Int from_row, Int images, Int positions, float* to, Int image,
                            bool streamed) {
    Int j = 0;
    if (streamed && reinterpret_cast<uintptr_t>(to) % (V * sizeof(float)) == 0 && image % V == 0) {
        for (Int lines; (lines = smaller(kLines, (positions - j) / V)) > 0; j += lines * V)
            stream_lanes(from + j * from_row, from_row, images, lines, to + j, image);
        fence();
    }
    for (; j < positions; j += V) {
        Int rows = smaller(V, positions - j);
        for (Int i = 0; i < images; i += V) {
            Int columns = smaller(V, images - i);
            Vec tile[V];
            for (int r = 0; r < V; ++r) tile[r] = r < rows ? load(from + (j + r) * from_row + i) : zero();
            transpose(tile);
            for (Int c = 0; c < columns; ++c) {
                if (rows < V)
                    store(to + (i + c) * image + j, tile[c], rows);
                else
                    store(to + (i + c) * image + j, tile[c]);
            }
        }
    }
}

// The way back: to[i * image + j] = from[j * V + 2 * i] + from[j * V + 2 * i + 1].
inline void pairs_to_images(const float* from, Int images, Int positions, float* to, Int image) {
    for (Int j = 0; j < positions; j += V) {
        const Int rows = smaller(V, positions - j);
        Vec tile[V];
        for (int r = 0; r < V; ++r) tile[r] = r < rows ? load(from + (j + r) * V) : zero();
        transpose(tile);
        for (Int i = 0; i < images; ++i) store(to + i * image + j, add(tile[2 * i], tile[2 * i + 1]), rows);
    }
}

// to[0..n) = from[0..n), then zeros up to the width of one store.
struct CopyQuad {  // n <= 4: most of its stores stay within a cache line
    static void run(const float* from, float* to, Int n) { copy_quad(from, to, n); }
};
struct CopyVector {  // n <= V
    static void run(const float* from, float* to, Int n) { store(to, load(from, n)); }
};
struct CopyAny {
    static void run(const float* from, float* to, Int n) {
        for (; n > V; n -= V, from += V, to += V) store(to, load(from));
        store(to, load(from, n));
    }
};

// Zeros behind a run's end fall on padding, or on taps that are written later.
template <class Copy>
inline void copy_runs(const Windows& windows, const Pattern& pattern, const float* from, Int channels, float* to) {
    const Run* runs = pattern.runs;
    const Int count = pattern.run_count, common = pattern.run_length;
    for (Int c = 0; c < channels; ++c) {
        for (Int r = 0; r < count; ++r)
            Copy::run(from + runs[r].offset, to + runs[r].tap, common > 0 ? common : runs[r].length);
        to += windows.taps;
        from += windows.inputs;
    }
}

// The window of one position and image, its channels one after the other as in the weight, zeros for padding.
// Writes up to the end of the last vector, with zeros there, and up to V floats beyond.
inline void gather(const Windows& windows, const float* x, Int channels, Int position, float* to) {
    const Pattern& pattern = windows.patterns[windows.pattern[position]];
    const Int count = channels * windows.taps, length = pattern.run_length;
    if (pattern.tap_count < windows.taps) fill_zero(to, count);
    const float* from = x + windows.base[position];
    if (length > 0 && length <= 4)
        copy_runs<CopyQuad>(windows, pattern, from, channels, to);
    else if (length > 0 && length <= V)
        copy_runs<CopyVector>(windows, pattern, from, channels, to);
    else
        copy_runs<CopyAny>(windows, pattern, from, channels, to);
    store(to + count, zero());
}

// to[0..count) = from[0..count), past the caches but for the ends; fence() before another thread reads it.
inline void stream_copy(const float* from, Int count, float* to) {
    const Int past = static_cast<Int>(reinterpret_cast<uintptr_t>(to) / sizeof(float) % V);
    Int done = past == 0 ? 0 : smaller(count, V - past);
    store(to, load(from, done), done);
    for (; done + V <= count; done += V) stream(to + done, load(from + done));
    store(to + done, load(from + done, count - done), count - done);
}

}  // namespace
}  // namespace striate
