// The C interface: checks, tables, and the choice of instructions and of an order of loops.
#include "striate.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "pages.h"
#include "pool.h"
#include "problem.h"

using striate::Int;
using striate::Kernels;
using striate::Pattern;
using striate::Problem;
using striate::Run;
using striate::Tap;

struct striate_windows {
    striate::Windows view;
    std::vector<int32_t> base, pattern, kernel, members, first, later;
    std::vector<Run> runs;
    std::vector<Tap> inside, pairs;
    std::vector<Pattern> patterns;
};

namespace {

constexpr Int kMostThreads = 256;

// a * b * c in 63 bits, or -1.
Int product(Int a, Int b, Int c = 1) {
    Int ab, abc;
    if (__builtin_mul_overflow(a, b, &ab) || __builtin_mul_overflow(ab, c, &abc)) return -1;
    return abc;
}

// The runs and taps of one row of the table; the input positions it reaches.
void compress(const int32_t* offsets, Int taps, striate_windows& made, Pattern& pattern) {
    const std::size_t first_run = made.runs.size(), first_tap = made.inside.size();
    pattern.low = std::numeric_limits<int32_t>::max();
    pattern.high = 0;
    for (int32_t t = 0; t < taps; ++t) {
        const int32_t offset = offsets[t];
        if (offset < 0) continue;
        made.inside.push_back({t, offset});
        Run* last = made.runs.size() > first_run ? &made.runs.back() : nullptr;
        if (last != nullptr && last->tap + last->length == t && last->offset + last->length == offset)
            ++last->length;
        else
            made.runs.push_back({t, offset, 1});
        pattern.low = std::min(pattern.low, offset);
        pattern.high = std::max(pattern.high, offset + 1);
    }
    pattern.run_count = static_cast<int32_t>(made.runs.size() - first_run);
    pattern.tap_count = static_cast<int32_t>(made.inside.size() - first_tap);
    if (pattern.tap_count == 0) pattern.low = 0;
    pattern.run_length = pattern.run_count > 0 ? made.runs[first_run].length : 0;
    const std::size_t first_pair = made.pairs.size();
    for (std::size_t r = first_run; r < made.runs.size(); ++r)
        for (int32_t i = 0; i + 2 <= made.runs[r].length; i += 2)
            made.pairs.push_back({made.runs[r].tap + i, made.runs[r].offset + i});
    pattern.pair_count = static_cast<int32_t>(made.pairs.size() - first_pair);
    for (std::size_t r = first_run; r < made.runs.size(); ++r)
        if (const int32_t last = made.runs[r].length - 1; last % 2 == 0)
            made.pairs.push_back({made.runs[r].tap + last, made.runs[r].offset + last});
    pattern.single_count = static_cast<int32_t>(made.pairs.size() - first_pair) - pattern.pair_count;
    for (std::size_t r = first_run; r < made.runs.size(); ++r)
        if (made.runs[r].length != pattern.run_length) pattern.run_length = 0;
}

int check_positions(const striate_windows& made) {
    const striate::Windows& w = made.view;
    for (Int p = 0; p < w.positions; ++p) {
        const int32_t row = made.pattern[p], base = made.base[p];
        if (row < 0 || row >= static_cast<Int>(made.patterns.size())) return STRIATE_BAD_TABLE;
        if (made.kernel[p] < 0 || made.kernel[p] >= w.kernels) return STRIATE_BAD_TABLE;
        const Pattern& pattern = made.patterns[row];
        if (pattern.tap_count == 0) continue;  // reads nothing
        if (base < 0 || static_cast<Int>(base) + pattern.high > w.inputs) return STRIATE_BAD_TABLE;
    }
    return STRIATE_OK;
}

void sort_by_kernel(striate_windows& made) {
    const striate::Windows& w = made.view;
    made.first.assign(w.kernels + 1, 0);
    for (Int p = 0; p < w.positions; ++p) ++made.first[made.kernel[p] + 1];
    for (Int k = 0; k < w.kernels; ++k) made.first[k + 1] += made.first[k];
    std::vector<int32_t> next(made.first.begin(), made.first.end() - 1);
    made.members.resize(w.positions);
    for (Int p = 0; p < w.positions; ++p) made.members[next[made.kernel[p]]++] = static_cast<int32_t>(p);
}

int make_windows(Int inputs, Int positions, Int kernels, Int taps, Int patterns, const int32_t* base,
                 const int32_t* pattern, const int32_t* offsets, const int32_t* kernel, striate_windows& made) {
    made.base.assign(base, base + positions);
    made.pattern.assign(pattern, pattern + positions);
    made.kernel.resize(positions);
    for (Int p = 0; p < positions; ++p) made.kernel[p] = kernel == nullptr ? static_cast<int32_t>(p) : kernel[p];
    made.patterns.resize(patterns);
    for (Int i = 0; i < patterns; ++i) {
        for (Int t = 0; t < taps; ++t)
            if (offsets[i * taps + t] < -1 || offsets[i * taps + t] >= inputs) return STRIATE_BAD_TABLE;
        compress(offsets + i * taps, taps, made, made.patterns[i]);
    }
    // The vectors have stopped growing: now there are addresses.
    const Run* run = made.runs.data();
    const Tap *tap = made.inside.data(), *pair = made.pairs.data();
    for (Pattern& row : made.patterns) {
        row.runs = run;
        row.taps = tap;
        row.pairs = pair;
        run += row.run_count;
        tap += row.tap_count;
        pair += row.pair_count + row.single_count;
    }
    striate::Windows& w = made.view;
    w.inputs = inputs;
    w.positions = positions;
    w.kernels = kernels;
    w.taps = taps;
    w.own_kernels = kernel == nullptr;
    if (int status = check_positions(made)) return status;
    sort_by_kernel(made);
    made.later.resize(positions);
    Int lowest = inputs - 1;
    for (Int p = positions - 1; p >= 0; --p) {
        const Pattern& reads = made.patterns[made.pattern[p]];
        if (reads.tap_count > 0) lowest = std::min<Int>(lowest, made.base[p] + reads.low);
        made.later[p] = static_cast<int32_t>(lowest);
    }
    double runs = 0;
    for (Int p = 0; p < positions; ++p) {
        if (made.patterns[made.pattern[p]].tap_count == 0) made.base[p] = 0;
        runs += made.patterns[made.pattern[p]].run_count;
    }
    w.runs_per_position = runs / static_cast<double>(positions);
    w.base = made.base.data();
    w.pattern = made.pattern.data();
    w.kernel = made.kernel.data();
    w.members = made.members.data();
    w.first = made.first.data();
    w.later = made.later.data();
    w.patterns = made.patterns.data();
    return STRIATE_OK;
}

#if defined(STRIATE_X86)
int find_instructions() {
    __builtin_cpu_init();
    // Names, not bits: these also ask whether the system saves the wide registers.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return STRIATE_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return STRIATE_AVX2;
    return STRIATE_BASELINE;
}
#else
int find_instructions() { return STRIATE_BASELINE; }
#endif

const Kernels* kernels_for(int instructions) {
    const int best = striate_best_instructions();
    if (instructions == STRIATE_BEST) instructions = best;
    if (instructions > best) return nullptr;
    switch (instructions) {
        case STRIATE_BASELINE: return &striate::kernels_baseline;
#if defined(STRIATE_X86)
        case STRIATE_AVX2: return &striate::kernels_avx2;
        case STRIATE_AVX512: return &striate::kernels_avx512;
#endif
        default: return nullptr;
    }
}

enum class Operation { forward, input_gradient, weight_gradient };

double vectors(double n, double lanes) { return static_cast<double>(static_cast<Int>((n + lanes - 1) / lanes)); }

// The order with the least work for one position, in units of one multiply-add of vectors. The other figures are
// what moving the operands costs beside it. An estimate: its constants were fitted on the layers of the benchmark but
// its largest, each timed in every order on one core with vectors of sixteen.
int choose_order(const Problem& p, Operation operation, int lanes) {
    const striate::Windows& w = *p.windows;
    const double images = static_cast<double>(p.images), outputs = static_cast<double>(p.outputs);
    const double channels = static_cast<double>(p.channels), terms = static_cast<double>(p.terms);
    const double runs = w.runs_per_position, group_outputs = static_cast<double>(p.group_outputs);
    const double groups = static_cast<double>(p.groups);
    const double members = static_cast<double>(w.positions) / static_cast<double>(w.kernels);
    const double inputs = static_cast<double>(w.inputs) / static_cast<double>(w.positions);

    // Both transposed: channels * inputs and outputs of one position, a few steps a vector.
    const double by_images = outputs * terms * vectors(images, lanes) +
                             4 * vectors(images, lanes) * (channels * inputs + outputs);
    // 1.8: from 1.6 (below it the 3d layer of two images is misjudged) to 2.5 (above it the 2d one of three) would do.
    double by_taps = 1.8 * images * (outputs * (vectors(terms, lanes) + 3) + 3 * channels * runs);
    if (operation == Operation::input_gradient)
        by_taps = images * (outputs * (vectors(terms, lanes) * 1.3 + 2) + 5 * channels * runs);
    const double by_rows =
        images * outputs * ((operation == Operation::forward ? 2 : 4) * static_cast<double>(p.group_channels) * runs + 3);
    const double columns = members * images;
    const double by_positions =
        (outputs * terms * vectors(columns, lanes) + 1.5 * groups * terms * columns) / members;

    int best = STRIATE_IMAGES;
    double least = by_images;
    const auto consider = [&](int order, double cost) {
        if (cost < least) {
            least = cost;
            best = order;
        }
    };
    consider(STRIATE_TAPS, by_taps);
    if (group_outputs <= 4) consider(STRIATE_ROWS, by_rows);
    if (operation == Operation::forward && !w.own_kernels) consider(STRIATE_POSITIONS, by_positions);
    return best;
}

// Fills in a problem from checked arguments.
int pose(const striate_windows* windows, const striate_call* call, Operation operation, const Kernels*& kernels,
         Problem& problem) {
    if (windows == nullptr || call == nullptr) return STRIATE_NULL_POINTER;
    const striate::Windows& w = windows->view;
    if (call->images < 0 || call->channels < 1 || call->outputs < 1 || call->groups < 1 || call->threads < 1)
        return STRIATE_BAD_SIZE;
    if (call->channels % call->groups != 0 || call->outputs % call->groups != 0) return STRIATE_BAD_SIZE;
    kernels = kernels_for(call->instructions);
    if (kernels == nullptr || call->reserved != 0 || call->order < STRIATE_CHOOSE || call->order > STRIATE_POSITIONS)
        return STRIATE_UNSUPPORTED;
    if (call->order == STRIATE_POSITIONS && operation != Operation::forward) return STRIATE_UNSUPPORTED;
    problem.windows = &w;
    problem.images = call->images;
    problem.channels = call->channels;
    problem.outputs = call->outputs;
    problem.groups = call->groups;
    problem.group_channels = call->channels / call->groups;
    problem.group_outputs = call->outputs / call->groups;
    problem.threads = static_cast<int>(std::min<Int>(call->threads, kMostThreads));
    problem.terms = product(problem.group_channels, w.taps);
    // What is summed or scaled below stays far inside 63 bits.
    const Int inputs = product(call->images, call->channels, w.inputs);
    const Int outputs = product(call->images, call->outputs, w.positions);
    const Int weights = problem.terms < 0 ? -1 : product(w.kernels, call->outputs, problem.terms);
    constexpr Int limit = Int{1} << 55;
    for (const Int size : {problem.terms, inputs, outputs, weights})
        if (size < 0 || size > limit) return STRIATE_OVERFLOW;
    problem.order = call->order == STRIATE_CHOOSE ? choose_order(problem, operation, kernels->lanes) : call->order;
    return STRIATE_OK;
}

template <class Array>
int check_length(const Array& array, Int expected) {
    if (array.count != expected) return STRIATE_WRONG_LENGTH;
    return array.data == nullptr && expected > 0 ? STRIATE_NULL_POINTER : STRIATE_OK;
}

Int inputs_of(const Problem& p) { return p.images * p.channels * p.windows->inputs; }
Int outputs_of(const Problem& p) { return p.images * p.outputs * p.windows->positions; }
Int weights_of(const Problem& p) { return p.windows->kernels * p.outputs * p.terms; }

// A result that is about to be filled.
void expect(const striate_result& result) {
    striate::ask_for_large_pages(result.data, result.count * static_cast<Int>(sizeof(float)));
}

const float* floats(const striate_array& array) { return static_cast<const float*>(array.data); }

}  // namespace

extern "C" {

int striate_abi(void) { return STRIATE_ABI; }

int striate_best_instructions(void) {
    static const int best = find_instructions();
    return best;
}

const char* striate_message(int status) {
    switch (status) {
        case STRIATE_OK: return "done";
        case STRIATE_NULL_POINTER: return "a pointer is null";
        case STRIATE_BAD_SIZE: return "a size is negative or zero, or groups does not divide the channels";
        case STRIATE_OVERFLOW: return "a product of sizes is too large";
        case STRIATE_BAD_TABLE: return "a table entry points outside what it points into";
        case STRIATE_WRONG_LENGTH: return "an array has another length than the sizes say";
        case STRIATE_NO_MEMORY: return "there is not enough memory for the scratch";
        case STRIATE_UNSUPPORTED: return "this processor or this function does not support what was asked for";
        default: return "unknown status";
    }
}

int striate_windows_new(int64_t inputs, int64_t positions, int64_t kernels, int64_t taps, int64_t patterns,
                        const int32_t* base, const int32_t* pattern, const int32_t* offsets, const int32_t* kernel,
                        striate_windows** made) {
    constexpr Int limit = std::numeric_limits<int32_t>::max();
    if (made == nullptr) return STRIATE_NULL_POINTER;
    *made = nullptr;
    if (base == nullptr || pattern == nullptr || offsets == nullptr) return STRIATE_NULL_POINTER;
    for (const Int size : {inputs, positions, kernels, taps, patterns}) {
        if (size < 1) return STRIATE_BAD_SIZE;
        if (size > limit - 1) return STRIATE_OVERFLOW;
    }
    if (kernel == nullptr && kernels != positions) return STRIATE_BAD_SIZE;
    // Runs are counted in 32 bits.
    if (product(patterns, taps) > limit) return STRIATE_OVERFLOW;
    try {
        auto windows = std::make_unique<striate_windows>();
        const int status =
            make_windows(inputs, positions, kernels, taps, patterns, base, pattern, offsets, kernel, *windows);
        if (status == STRIATE_OK) *made = windows.release();
        return status;
    } catch (const std::bad_alloc&) {
        return STRIATE_NO_MEMORY;
    }
}

void striate_windows_free(striate_windows* windows) { delete windows; }

int striate_forward(const striate_windows* windows, const striate_call* call, striate_array x, striate_array weight,
                    int weight_type, striate_array bias, striate_result y) {
    const Kernels* kernels;
    Problem p;
    if (int status = pose(windows, call, Operation::forward, kernels, p)) return status;
    if (weight_type != STRIATE_FLOAT32 && weight_type != STRIATE_BFLOAT16) return STRIATE_UNSUPPORTED;
    if (int status = check_length(x, inputs_of(p))) return status;
    if (int status = check_length(weight, weights_of(p))) return status;
    if (int status = check_length(y, outputs_of(p))) return status;
    striate::Bias offsets{floats(bias), 0};
    if (bias.data != nullptr) {
        if (bias.count == p.windows->kernels * p.outputs)
            offsets.kernel_step = p.outputs;
        else if (bias.count != p.outputs)
            return STRIATE_WRONG_LENGTH;
    }
    if (p.images == 0) return STRIATE_OK;
    expect(y);
    const int status = weight_type == STRIATE_FLOAT32
                           ? kernels->forward(p, floats(x), floats(weight), offsets, y.data)
                           : kernels->forward_bfloat16(p, floats(x), static_cast<const uint16_t*>(weight.data), offsets,
                                                       y.data);
    striate::trim_scratch();
    return status;
}

int striate_input_gradient(const striate_windows* windows, const striate_call* call, striate_array y_gradient,
                           striate_array weight, striate_result x_gradient) {
    const Kernels* kernels;
    Problem p;
    if (int status = pose(windows, call, Operation::input_gradient, kernels, p)) return status;
    if (int status = check_length(y_gradient, outputs_of(p))) return status;
    if (int status = check_length(weight, weights_of(p))) return status;
    if (int status = check_length(x_gradient, inputs_of(p))) return status;
    if (p.images == 0) return STRIATE_OK;
    expect(x_gradient);
    const int status = kernels->input_gradient(p, floats(y_gradient), floats(weight), x_gradient.data);
    striate::trim_scratch();
    return status;
}

int striate_weight_gradient(const striate_windows* windows, const striate_call* call, striate_array y_gradient,
                            striate_array x, striate_result weight_gradient) {
    const Kernels* kernels;
    Problem p;
    if (int status = pose(windows, call, Operation::weight_gradient, kernels, p)) return status;
    if (int status = check_length(y_gradient, outputs_of(p))) return status;
    if (int status = check_length(x, inputs_of(p))) return status;
    if (int status = check_length(weight_gradient, weights_of(p))) return status;
    expect(weight_gradient);
    const int status = kernels->weight_gradient(p, floats(y_gradient), floats(x), weight_gradient.data);
    striate::trim_scratch();
    return status;
}

int striate_multiply_adds(int threads, int instructions, int64_t rounds, int64_t* operations) {
    const Kernels* kernels = kernels_for(instructions);
    if (operations == nullptr) return STRIATE_NULL_POINTER;
    if (kernels == nullptr) return STRIATE_UNSUPPORTED;
    if (threads < 1 || rounds < 1) return STRIATE_BAD_SIZE;
    threads = static_cast<int>(std::min<Int>(threads, kMostThreads));
    constexpr Int parts = 64;  // of a thread: one that wakes late does fewer of them
    const Int each = rounds / parts + 1;
    *operations = product(Int{2} * threads * parts, each, kernels->lanes * kernels->accumulators);
    if (*operations < 0) return STRIATE_OVERFLOW;
    struct Work {
        const Kernels* kernels;
        Int rounds;
        std::atomic<float> total;
    } work{kernels, each, {0}};
    striate::parallel(
        threads, threads * parts,
        [](void* context, int64_t, int) {
            Work& shared = *static_cast<Work*>(context);
            shared.total.store(shared.kernels->multiply_adds(shared.rounds, 0.5f), std::memory_order_relaxed);
        },
        &work);
    return STRIATE_OK;
}

}  // extern "C"
