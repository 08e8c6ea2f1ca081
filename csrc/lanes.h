// Copies with images as lanes, for the orders that multiply many images by one weight.
#pragma once

#include "patches.h"

namespace striate {
namespace {

// How many images stand side by side in a transposed copy: all, or even parts of at most so many.
inline Int images_per_pass(Int images) {
    constexpr Int most = 128;
    Int vectors = ceil_div(images, V);
    return V * ceil_div(vectors, larger(1, ceil_div(vectors, most / V)));
}

// Copies with images as lanes are large: they are made of a band of the input at a time, for the positions that
// read it, so that they take a small part of what the tensors themselves take, or little.
inline Int most_lanes(const Problem& p) {
    const Windows& w = *p.windows;
    const Int tensors = p.images * (p.channels * w.inputs + p.outputs * w.positions) + w.kernels * p.outputs * p.terms;
    return larger(1 << 17, tensors / 16);
}

struct Band {
    Int first, last;  // positions
    Int low, high;    // the inputs that they read
};

// What a band keeps of the input: what its positions read; or, where sums are kept until they are complete, all from
// the first input that this or a later position adds to up to the last that this or an earlier one did.
enum class Keep { read, incomplete };

struct Bands {
    Int width;   // images of a pass
    Int inputs;  // of the largest band
    bool fit;    // else the windows of neighbours lie too far apart for this

    static constexpr Int kStep = 16;  // positions

    // `band` with the positions up to `last` too.
    template <Keep keep>
    static Band extended(const Windows& w, Band band, Int last) {
        for (Int p = band.last; p < last; ++p) {
            const Pattern& pattern = w.patterns[w.pattern[p]];
            if (pattern.tap_count == 0) continue;
            if (keep == Keep::read) band.low = smaller(band.low, w.base[p] + pattern.low);
            band.high = larger(band.high, w.base[p] + pattern.high);
        }
        band.last = last;
        return band;
    }

    template <Keep keep>
    static Band empty(const Windows& w, Int first, Int high) {
        if (keep == Keep::read) return {first, first, w.inputs, 0};
        const Int low = w.later[first] / V * V;  // lines of the result stay whole
        return {first, first, low, larger(low, high)};
    }

    // The band from `first` on; `high`: that of the band before.
    template <Keep keep>
    Band next(const Windows& w, Int first, Int high) const {
        if (inputs == w.inputs) return {0, w.positions, 0, w.inputs};
        Band band = empty<keep>(w, first, high);
        do {
            const Band more = extended<keep>(w, band, smaller(band.last + kStep, w.positions));
            if (band.last > first && more.high - more.low > inputs) break;
            band = more;
        } while (band.last < w.positions);
        if (band.low > band.high) band.low = band.high = 0;  // reads nothing
        return band;
    }
};

template <Keep keep>
inline Bands plan_bands(const Problem& p) {
    const Windows& w = *p.windows;
    const auto fitting = [&](Int width) { return smaller(w.inputs, most_lanes(p) / (p.channels * width)); };
    Bands bands{images_per_pass(p.images), 0, true};
    bands.inputs = fitting(bands.width);
    if (bands.inputs == w.inputs) return bands;
    Int widest = 0, high = 0;
    for (Int first = 0; first < w.positions; first += Bands::kStep) {
        const Int last = smaller(first + Bands::kStep, w.positions);
        const Band band = Bands::extended<keep>(w, Bands::empty<keep>(w, first, high), last);
        widest = larger(widest, band.high - band.low);
        high = band.high;
    }
    while (bands.width > V && widest > bands.inputs) {
        bands.width = whole_vectors(bands.width / 2);
        bands.inputs = fitting(bands.width);
    }
    bands.fit = widest <= bands.inputs;
    return bands;
}

constexpr Int kStretch = 2048;  // positions that one task transposes at most

// Inputs [low, low + inputs) of x (N, C, L) -> lanes (C, inputs, width), for the images from `image` on.
// `paired`: as images_to_pairs.
inline void transpose_in(const Problem& p, const float* x, Int low, Int inputs, Int image, Int images, Int width,
                         bool paired, float* lanes) {
    const Int channels = p.channels, all = p.windows->inputs;
    // Several for each thread, where channels are few. A band that reads nothing has no inputs.
    const Int stretch = smaller(kStretch, whole_vectors(larger(1, ceil_div(channels * inputs, 8 * p.threads))));
    const Int stretches = ceil_div(inputs, stretch);
    for_each(p.threads, channels * stretches, [=](Int task, int) {
        const Int channel = task / stretches, start = task % stretches * stretch;
        const Int positions = smaller(stretch, inputs - start);
        const float* from = x + (image * channels + channel) * all + low + start;
        float* to = lanes + (channel * inputs + start) * width;
        if (paired)
            images_to_pairs(from, channels * all, images, positions, inputs - start, to);
        else
            images_to_lanes(from, channels * all, images, positions, to, width);
    });
}

}  // namespace
}  // namespace striate
