/* The kernels of the locally connected operator: the interface that other languages load.
 *
 *   y[n, o, p] = bias + sum over c, t of weight[kernel[p], o, c, t] * x[n, g(o) * C/G + c, input(p, t)]
 *
 * x is (N, C, L) with the input positions of any number of axes flattened to L, y is (N, O, P), weight is
 * (K, O, C/G, T), all contiguous float32 (the weight of the forward may be bfloat16). Where a tap reads is a
 * table, so strides, dilations, padding modes, sharing maps and the number of axes never show here. A
 * transposed layer is `striate_input_gradient` of its adjoint.
 *
 * Every function returns STRIATE_OK or one of the codes below, and writes nothing in the second case. Sizes,
 * tables and lengths of arrays are checked before a pointer is followed. Results do not depend on the number
 * of threads, to the bit. Calls may come from several threads at once, and after a fork.
 */
#ifndef STRIATE_H
#define STRIATE_H

#include <stdint.h>

#if defined(__GNUC__)
#define STRIATE_API __attribute__((visibility("default")))
#else
#define STRIATE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a function or a struct here does. */
#define STRIATE_ABI 2

enum striate_status {
    STRIATE_OK = 0,
    STRIATE_NULL_POINTER = 1,
    STRIATE_BAD_SIZE = 2,       /* a count that is negative or does not go with another */
    STRIATE_OVERFLOW = 3,       /* a product of sizes beyond 63 bits */
    STRIATE_BAD_TABLE = 4,      /* a table entry outside what it points into */
    STRIATE_WRONG_LENGTH = 5,   /* an array of another length than the sizes say */
    STRIATE_NO_MEMORY = 6,
    STRIATE_UNSUPPORTED = 7     /* instructions this processor lacks, or an unknown code */
};

enum striate_instructions {
    STRIATE_BEST = 0,           /* the widest that this processor has */
    STRIATE_BASELINE = 1,
    STRIATE_AVX2 = 2,
    STRIATE_AVX512 = 3
};

/* What the lanes of a vector stand for. All give the same results up to rounding. */
enum striate_order {
    STRIATE_CHOOSE = 0,         /* by an estimate of the work */
    STRIATE_IMAGES = 1,         /* images: from about as many images as lanes */
    STRIATE_TAPS = 2,           /* taps of a window that was copied together: few images */
    STRIATE_ROWS = 3,           /* taps, read where they lie: few images and outputs */
    STRIATE_POSITIONS = 4       /* positions that share a kernel, and their images (forward only) */
};

enum striate_type { STRIATE_FLOAT32 = 0, STRIATE_BFLOAT16 = 1 };

/* Which input position each tap of each output position reads, and which kernel the position uses. */
typedef struct striate_windows striate_windows;

/* Tap t of position p reads input position base[p] + offsets[pattern[p] * taps + t], or padding (a zero) where
 * that offset is -1. Positions far from a border usually share one pattern, so the tables are small.
 * kernel[p] is in [0, kernels); NULL says that each position has its own: kernels == positions.
 * The tables are copied. */
STRIATE_API int striate_windows_new(int64_t inputs, int64_t positions, int64_t kernels, int64_t taps,
                                    int64_t patterns, const int32_t* base, const int32_t* pattern,
                                    const int32_t* offsets, const int32_t* kernel, striate_windows** made);
STRIATE_API void striate_windows_free(striate_windows* windows);

typedef struct {
    int64_t images;             /* N */
    int64_t channels;           /* C */
    int64_t outputs;            /* O */
    int64_t groups;             /* G */
    int32_t threads;            /* at most this many, the caller's own among them */
    int32_t instructions;       /* enum striate_instructions */
    int32_t order;              /* enum striate_order; one that does not apply is refused */
    int32_t reserved;           /* 0 */
} striate_call;

/* An array and how many elements it has. */
typedef struct {
    const void* data;
    int64_t count;
} striate_array;

typedef struct {
    float* data;
    int64_t count;
} striate_result;

/* bias: data NULL for none, K * O elements for one per kernel, or O for one per channel (K * O where both). */
STRIATE_API int striate_forward(const striate_windows* windows, const striate_call* call, striate_array x,
                                striate_array weight, int weight_type, striate_array bias, striate_result y);
STRIATE_API int striate_input_gradient(const striate_windows* windows, const striate_call* call,
                                       striate_array y_gradient, striate_array weight, striate_result x_gradient);
STRIATE_API int striate_weight_gradient(const striate_windows* windows, const striate_call* call,
                                        striate_array y_gradient, striate_array x, striate_result weight_gradient);

/* Computes in registers alone for a while, the longer the more rounds, and says how many floating-point operations that
 * were: what the processor can do at most. */
STRIATE_API int striate_multiply_adds(int threads, int instructions, int64_t rounds, int64_t* operations);

STRIATE_API int striate_abi(void);
/* The widest instructions that this processor has and this build knows. */
STRIATE_API int striate_best_instructions(void);
STRIATE_API const char* striate_message(int status);

#ifdef __cplusplus
}
#endif
#endif
