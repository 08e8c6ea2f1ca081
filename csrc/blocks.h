// Products of small matrices in registers: R rows by S vectors of sums, each row's factor broadcast.
//
// A *job* says what is multiplied: its block<R, S>(row, vector) computes the sums of R rows from `row` on and of
// S vectors from `vector` on. `cover` lays blocks over a job's rows and vectors so that the sums fill the registers.
#pragma once

#include "problem.h"
#include "simd.h"

namespace striate {
namespace {

inline Int smaller(Int a, Int b) { return a < b ? a : b; }
inline Int larger(Int a, Int b) { return a > b ? a : b; }
inline Int ceil_div(Int a, Int b) { return (a + b - 1) / b; }
inline Int whole_vectors(Int n) { return ceil_div(n, V) * V; }

// How a step of a sum uses a row's factor: one for all lanes.
struct OneFactor {
    static Vec factor(const float* from) { return splat(*from); }
    static Vec multiply_add(Vec factor, Vec value, Vec sum) { return fma(factor, value, sum); }
};

// Two factors that lie side by side, for the even lanes and for the odd ones.
struct TwoFactors {
    static Vec factor(const float* from) { return splat_pair(from); }
    static Vec multiply_add(Vec factor, Vec value, Vec sum) { return fma(factor, value, sum); }
};

// One for the even lanes; the odd ones stay as they are.
struct EvenFactor {
    static Vec factor(const float* from) { return splat(*from); }
    static Vec multiply_add(Vec factor, Vec value, Vec sum) { return fma_even(factor, value, sum); }
};

template <int R, int S>
struct Sums {
    Vec at[R][S];

    void clear() {
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) at[r][s] = zero();
    }

    // at[r][s] += a[r * row] * b[s]
    template <class Step = OneFactor>
    void multiply_add(const float* a, Int row, const Vec* b) {
        const float* four = a;  // a pointer for each four rows: few enough for the general registers
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r) {
            if (r > 0 && r % 4 == 0) four += 4 * row;
            const Vec factor = Step::factor(four + (r % 4) * row);
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) at[r][s] = Step::multiply_add(factor, b[s], at[r][s]);
        }
    }
};

template <int S>
inline void load_all(Vec* to, const float* from) {
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) to[s] = load(from + s * V);
}

template <int R, class Job>
inline void cover_rows(const Job& job, Int row, Int vectors) {
    Int vector = 0;
    if constexpr (R * 4 <= kAccumulators)
        for (; vector + 4 <= vectors; vector += 4) job.template block<R, 4>(row, vector);
    if constexpr (R * 2 <= kAccumulators)
        for (; vector + 2 <= vectors; vector += 2) job.template block<R, 2>(row, vector);
    for (; vector < vectors; ++vector) job.template block<R, 1>(row, vector);
}

// Blocks of some rows, no matter how many vectors: as few as will do, of about the same size, as a small one leaves
// the multipliers waiting for its sums.
template <class Job>
inline void cover(const Job& job, Int rows, Int vectors) {
    constexpr int most = kAccumulators, half = kAccumulators / 2, third = kAccumulators / 3;
    Int row = 0;
    const auto left = [&] { return rows - row; };
    if constexpr (most >= 24)
        if (vectors == 1) {
            for (; left() == most || left() >= most + third; row += most) job.template block<most, 1>(row, 0);
            for (; left() >= 2 * third; row += 2 * third) job.template block<2 * third, 1>(row, 0);
        }
    for (; left() == half || left() >= half + third; row += half) cover_rows<half>(job, row, vectors);
    for (; left() >= third; row += third) cover_rows<third>(job, row, vectors);
    if constexpr (third > 4)
        for (; left() >= 4; row += 4) cover_rows<4>(job, row, vectors);
    for (; left() >= 2; row += 2) cover_rows<2>(job, row, vectors);
    for (; left() > 0; ++row) cover_rows<1>(job, row, vectors);
}

// out[r] (+)= sum over k of a[r * a_row + k * a_step] * b[k * b_step + lanes], `columns` of them.
// With kPadded, b's rows may be read to the end of a vector.
template <bool kPadded>
struct Product {
    const float* a;
    Int a_row, a_step;
    const float* b;
    Int b_step;
    Int terms;
    float* out;
    Int out_row;
    Int columns;
    bool add;       // to what is in out
    bool streamed;  // whole vectors of out are whole lines that go past the caches

    template <int R, int S>
    void block(Int row, Int vector) const {
        Int left = columns - vector * V;
        if (left >= S * V)
            sum<R, S, true>(row, vector, V);
        else
            sum<R, S, false>(row, vector, left - (S - 1) * V);
    }

    // `last` is the number of lanes of the last vector.
    template <int R, int S, bool kFull>
    void sum(Int row, Int vector, Int last) const {
        Sums<R, S> sums;
        float* to = out + row * out_row + vector * V;
        sums.clear();
        if (add) {
#pragma GCC unroll 24
            for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
                for (int s = 0; s < S; ++s)
                    sums.at[r][s] = (kFull || s < S - 1) ? load(to + r * out_row + s * V)
                                                         : load(to + r * out_row + s * V, last);
        }
        const float* factors = a + row * a_row;
        const float* from = b + vector * V;
        for (Int k = 0; k < terms; ++k) {
            Vec values[S];
            if constexpr (kFull || kPadded) {
                load_all<S>(values, from);
            } else {
                load_all<S - 1>(values, from);
                values[S - 1] = load(from + (S - 1) * V, last);
            }
            sums.multiply_add(factors, a_row, values);
            factors += a_step;
            from += b_step;
        }
#pragma GCC unroll 24
        for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int s = 0; s < S; ++s) {
                float* at = to + r * out_row + s * V;
                if (!kFull && s == S - 1)
                    store(at, sums.at[r][s], last);
                else if (streamed)
                    stream(at, sums.at[r][s]);
                else
                    store(at, sums.at[r][s]);
            }
    }
};

}  // namespace
}  // namespace striate
