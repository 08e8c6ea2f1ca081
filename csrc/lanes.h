// Copies with images as lanes, for the orders that multiply many images by one weight.
#pragma once

#include "patches.h"

namespace striate {
namespace {

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

}  // namespace
}  // namespace striate
