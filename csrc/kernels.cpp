// The kernels for one instruction set: compiled once for each, with STRIATE_KERNELS naming the result.
#include "forward.h"
#include "input_gradient.h"
#include "peak.h"
#include "weight_gradient.h"

namespace striate {

extern const Kernels STRIATE_KERNELS;
const Kernels STRIATE_KERNELS = {V,
                                 kAccumulators,
                                 &forward<float>,
                                 &forward<bfloat16>,
                                 &input_gradient,
                                 &weight_gradient,
                                 &multiply_adds};

}  // namespace striate
