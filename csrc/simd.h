// The vector operations that the kernels use, for the instructions this file is compiled with.
//
// Everything is in an unnamed namespace: the kernels are compiled several times with different flags, and
// the linker must never take one translation unit's copy of a function for another's.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace striate {
namespace {

using bfloat16 = uint16_t;

inline float widen(bfloat16 value) {
    uint32_t bits = static_cast<uint32_t>(value) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

#if defined(__AVX512F__)

using Vec = __m512;
constexpr int V = 16;             // lanes
constexpr int kAccumulators = 24; // registers for sums; the others hold operands

inline __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

inline Vec zero() { return _mm512_setzero_ps(); }
inline Vec splat(float value) { return _mm512_set1_ps(value); }
inline Vec load(const float* from) { return _mm512_loadu_ps(from); }
inline void store(float* to, Vec value) { _mm512_storeu_ps(to, value); }
inline Vec load(const float* from, int64_t n) { return _mm512_maskz_loadu_ps(first(n), from); }
inline void store(float* to, Vec value, int64_t n) { _mm512_mask_storeu_ps(to, first(n), value); }
// A whole cache line, past the caches: nothing is read to be overwritten. fence() before another thread reads it.
inline void stream(float* to, Vec value) { _mm512_stream_ps(to, value); }
inline void fence() { _mm_sfence(); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }

// Lanes in pairs, of two floats that lie side by side.
inline Vec splat_pair(const float* from) {
    double both;
    std::memcpy(&both, from, sizeof both);
    return _mm512_castpd_ps(_mm512_set1_pd(both));
}
constexpr __mmask16 kEven = 0x5555;
// `a` in the even lanes, zero in the others.
inline Vec even(Vec a) { return _mm512_maskz_mov_ps(kEven, a); }
// As fma in the even lanes; c in the others.
inline Vec fma_even(Vec a, Vec b, Vec c) { return _mm512_mask3_fmadd_ps(a, b, c, kEven); }
// a[0], b[0], a[1], b[1] and so on, from the lower halves.
inline Vec interleave(Vec a, Vec b) {
    const __m512i order = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutex2var_ps(a, order, b);
}

inline Vec load(const bfloat16* from) {
    __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

inline void copy_quad(const float* from, float* to, int64_t n) {
    _mm_storeu_ps(to, _mm_maskz_loadu_ps(static_cast<__mmask8>(first(n)), from));
}

// V windows of `length` floats in a row, each one float further than the one before.
class Neighbours {
public:
    Neighbours(const float* from, int64_t length)
        : low_(load(from)), high_(load(from + V, length - 1)), lanes_(first(length)) {}

    // sum + factors * window I, in the lanes of the window alone.
    template <int I>
    Vec multiply_add(Vec factors, Vec sum) const {
        const __m512i window = _mm512_alignr_epi32(_mm512_castps_si512(high_), _mm512_castps_si512(low_), I);
        return _mm512_mask3_fmadd_ps(_mm512_castsi512_ps(window), factors, sum, lanes_);
    }

private:
    Vec low_, high_;
    __mmask16 lanes_;
};

// out[i] = the sum of the lanes of sums[i], for i < V. A tree of pairs, so that each shuffle serves many sums.
inline Vec sums_of_lanes(const Vec* sums) {
    Vec quarters[4];
    for (int i = 0; i < 4; ++i) {
        const Vec* s = sums + 4 * i;
        Vec low = add(_mm512_unpacklo_ps(s[0], s[1]), _mm512_unpackhi_ps(s[0], s[1]));
        Vec high = add(_mm512_unpacklo_ps(s[2], s[3]), _mm512_unpackhi_ps(s[2], s[3]));
        __m512d a = _mm512_castps_pd(low), b = _mm512_castps_pd(high);
        quarters[i] = add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    Vec halves[2];
    for (int i = 0; i < 2; ++i) {
        Vec a = quarters[2 * i], b = quarters[2 * i + 1];
        halves[i] = add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    }
    return add(_mm512_shuffle_f32x4(halves[0], halves[1], 0x88), _mm512_shuffle_f32x4(halves[0], halves[1], 0xdd));
}

inline void transpose(Vec* rows) {
    Vec a[V], b[V];
    for (int i = 0; i < V; i += 2) {
        a[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        a[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < V; i += 4) {
        for (int j = 0; j < 2; ++j) {
            __m512d low = _mm512_castps_pd(a[i + j]), high = _mm512_castps_pd(a[i + j + 2]);
            b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    // b[4i + j] holds column j of each 4 columns of rows 4i..4i+3: what is left moves quarters.
    for (int j = 0; j < 4; ++j) {
        Vec even = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88), odd = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
        Vec even2 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
        Vec odd2 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
        rows[j] = _mm512_shuffle_f32x4(even, even2, 0x88);
        rows[8 + j] = _mm512_shuffle_f32x4(even, even2, 0xdd);
        rows[4 + j] = _mm512_shuffle_f32x4(odd, odd2, 0x88);
        rows[12 + j] = _mm512_shuffle_f32x4(odd, odd2, 0xdd);
    }
}

#elif defined(__AVX2__)

using Vec = __m256;
constexpr int V = 8;
constexpr int kAccumulators = 12;

alignas(32) const int32_t kFirst[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

inline __m256i first(int64_t n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kFirst + 8 - n)); }

inline Vec zero() { return _mm256_setzero_ps(); }
inline Vec splat(float value) { return _mm256_set1_ps(value); }
inline Vec load(const float* from) { return _mm256_loadu_ps(from); }
inline void store(float* to, Vec value) { _mm256_storeu_ps(to, value); }
inline Vec load(const float* from, int64_t n) { return _mm256_maskload_ps(from, first(n)); }
inline void store(float* to, Vec value, int64_t n) { _mm256_maskstore_ps(to, first(n), value); }
// Half a line is no gain.
inline void stream(float* to, Vec value) { store(to, value); }
inline void fence() {}
inline Vec add(Vec a, Vec b) { return _mm256_add_ps(a, b); }
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }

inline Vec splat_pair(const float* from) {
    double both;
    std::memcpy(&both, from, sizeof both);
    return _mm256_castpd_ps(_mm256_set1_pd(both));
}
inline Vec even(Vec a) { return _mm256_blend_ps(a, _mm256_setzero_ps(), 0xaa); }
inline Vec fma_even(Vec a, Vec b, Vec c) { return _mm256_blend_ps(fma(a, b, c), c, 0xaa); }
inline Vec interleave(Vec a, Vec b) {
    return _mm256_permute2f128_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b), 0x20);
}

inline Vec load(const bfloat16* from) {
    __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

inline void copy_quad(const float* from, float* to, int64_t n) {
    __m128i lanes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kFirst + 8 - n));
    _mm_storeu_ps(to, _mm_maskload_ps(from, lanes));
}

inline Vec sums_of_lanes(const Vec* s) {
    Vec low = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    Vec high = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
    return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
}

inline void transpose(Vec* rows) {
    Vec a[V], b[V];
    for (int i = 0; i < V; i += 2) {
        a[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < V; i += 4) {
        for (int j = 0; j < 2; ++j) {
            b[i + 2 * j] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0x44);
            b[i + 2 * j + 1] = _mm256_shuffle_ps(a[i + j], a[i + j + 2], 0xee);
        }
    }
    for (int j = 0; j < 4; ++j) {
        rows[j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x20);
        rows[4 + j] = _mm256_permute2f128_ps(b[j], b[4 + j], 0x31);
    }
}

#else

// Four lanes in the compilers' own vector type: SSE2 on x86-64, NEON on 64-bit ARM, or what there is.
typedef float Vec __attribute__((vector_size(16)));
constexpr int V = 4;
constexpr int kAccumulators = 8;

inline Vec zero() { return Vec{0, 0, 0, 0}; }
inline Vec splat(float value) { return Vec{value, value, value, value}; }
inline Vec load(const float* from) {
    Vec value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
inline void store(float* to, Vec value) { std::memcpy(to, &value, sizeof value); }
inline Vec load(const float* from, int64_t n) {
    Vec value = zero();
    for (int i = 0; i < V; ++i)
        if (i < n) value[i] = from[i];
    return value;
}
inline void store(float* to, Vec value, int64_t n) {
    for (int i = 0; i < V; ++i)
        if (i < n) to[i] = value[i];
}
inline void copy_quad(const float* from, float* to, int64_t n) { store(to, load(from, n)); }
inline void stream(float* to, Vec value) { store(to, value); }
inline void fence() {}
inline Vec add(Vec a, Vec b) { return a + b; }
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline Vec splat_pair(const float* from) { return Vec{from[0], from[1], from[0], from[1]}; }
inline Vec even(Vec a) { return Vec{a[0], 0, a[2], 0}; }
inline Vec fma_even(Vec a, Vec b, Vec c) { return Vec{a[0] * b[0] + c[0], c[1], a[2] * b[2] + c[2], c[3]}; }
inline Vec interleave(Vec a, Vec b) { return Vec{a[0], b[0], a[1], b[1]}; }
inline Vec load(const bfloat16* from) { return Vec{widen(from[0]), widen(from[1]), widen(from[2]), widen(from[3])}; }
inline Vec sums_of_lanes(const Vec* s) {
    Vec out;
    for (int i = 0; i < V; ++i) out[i] = (s[i][0] + s[i][1]) + (s[i][2] + s[i][3]);
    return out;
}
inline void transpose(Vec* rows) {
    for (int i = 0; i < V; ++i)
        for (int j = 0; j < i; ++j) {
            float swapped = rows[i][j];
            rows[i][j] = rows[j][i];
            rows[j][i] = swapped;
        }
}

#endif

// The first n < V values, zero in the other lanes; nothing beyond them is read.
inline Vec load(const bfloat16* from, int64_t n) {
    bfloat16 values[V] = {};
    for (int64_t i = 0; i < n; ++i) values[i] = from[i];
    return load(values);
}

#if !defined(__AVX512F__)

// V windows of `length` floats in a row, each one float further than the one before.
class Neighbours {
public:
    Neighbours(const float* from, int64_t length) : from_(from), length_(length) {}

    // sum + factors * window I, in the lanes of the window alone.
    template <int I>
    Vec multiply_add(Vec factors, Vec sum) const {
        return fma(load(from_ + I, length_), factors, sum);
    }

private:
    const float* from_;
    int64_t length_;
};

#endif

}  // namespace
}  // namespace striate
