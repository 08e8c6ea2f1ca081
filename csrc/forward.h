// y from x and the weight, in the orders of enum striate_order.
#pragma once

#include "forward_images.h"
#include "forward_positions.h"
#include "forward_rows.h"
#include "forward_taps.h"

namespace striate {
namespace {

template <class W>
int forward(const Problem& p, const float* x, const W* weight, Bias bias, float* y) {
    switch (p.order) {
        case STRIATE_IMAGES:
            return plan_bands<Keep::read>(p).fit ? forward_images(p, x, weight, bias, y)
                                                 : forward_taps(p, x, weight, bias, y);
        case STRIATE_TAPS: return forward_taps(p, x, weight, bias, y);
        case STRIATE_ROWS: return forward_rows(p, x, weight, bias, y);
        case STRIATE_POSITIONS: return forward_positions(p, x, weight, bias, y);
        default: return STRIATE_UNSUPPORTED;
    }
}

}  // namespace
}  // namespace striate
