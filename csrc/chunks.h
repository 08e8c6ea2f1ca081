// Parts of the positions whose windows may add into the input's gradient at the same time.
#pragma once

#include "patches.h"

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
    Int first, last;  // positions
    Int size;         // of a chunk
    int colour[kMostChunks];

    Int begin(int chunk) const { return first + chunk * size; }
    Int end(int chunk) const { return smaller(begin(chunk) + size, last); }
};

inline Chunks chunks_of(const Windows& w, Int first, Int last, Int tasks_besides) {
    Chunks chunks;
    chunks.first = first;
    chunks.last = last;
    const Int tiles = ceil_div(last - first, V);
    const Int wanted = tasks_besides >= 8 ? 1 : smaller(kMostChunks, tiles);
    chunks.size = ceil_div(tiles, wanted) * V;
    chunks.count = static_cast<int>(ceil_div(last - first, chunks.size));
    chunks.colours = 1;
    chunks.colour[0] = 0;
    if (chunks.count == 1) return chunks;
    Int low[kMostChunks], high[kMostChunks];
    for (int i = 0; i < chunks.count; ++i) {
        low[i] = w.inputs;
        high[i] = 0;
        for (Int p = chunks.begin(i); p < chunks.end(i); ++p) {
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

}  // namespace
}  // namespace striate
