// Runs the kernels over many geometries, for the sanitizers (`make sanitize`): arrays of the exact length, random
// tables, every order and every set of instructions, several threads, concurrent calls, and a fork. Results are
// compared with plain loops in double.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "striate.h"

namespace {

using Floats = std::vector<float>;

struct Geometry {
    int64_t inputs, positions, kernels, taps, patterns;
    std::vector<int32_t> base, pattern, offsets, kernel;
    bool own;

    int64_t reads(int64_t p, int64_t t) const {
        const int32_t offset = offsets[pattern[p] * taps + t];
        return offset < 0 ? -1 : base[p] + offset;
    }
};

std::mt19937 generator(1);

int64_t between(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

Floats random_floats(int64_t count) {
    std::normal_distribution<float> normal;
    Floats values(count);
    for (float& value : values) value = normal(generator);
    return values;
}

// Small layers of every kind, and some whose copies with images as lanes are made band by band.
enum class Size { small, banded };

// Windows in rows, as of an image, with some taps on padding; or no order at all.
Geometry random_geometry(Size size) {
    Geometry g;
    const bool banded = size == Size::banded;
    g.positions = banded ? between(300, 400) : between(1, 70);
    g.taps = between(1, banded ? 9 : 40);
    g.patterns = between(1, 4);
    const bool rows = banded || between(0, 2) > 0;
    const int64_t row = between(1, g.taps);
    g.inputs = (banded ? g.positions : between(1, 30)) + (rows ? g.taps + g.taps / row * 3 : 20);
    int32_t highest = 0;
    for (int64_t i = 0; i < g.patterns; ++i)
        for (int64_t t = 0; t < g.taps; ++t) {
            int64_t offset = rows ? t / row * (row + 3) + t % row : between(0, g.inputs - 1);
            if (offset >= g.inputs || between(0, 9) < i) offset = -1;
            g.offsets.push_back(static_cast<int32_t>(offset));
            highest = std::max(highest, g.offsets.back());
        }
    g.own = between(0, 1) == 1;
    g.kernels = g.own ? g.positions : between(1, g.positions);
    for (int64_t p = 0; p < g.positions; ++p) {
        g.base.push_back(static_cast<int32_t>(std::min(p, g.inputs - 1 - highest)));
        g.pattern.push_back(static_cast<int32_t>(between(0, g.patterns - 1)));
        g.kernel.push_back(static_cast<int32_t>(g.own ? p : between(0, g.kernels - 1)));
    }
    return g;
}

striate_windows* make(const Geometry& g) {
    striate_windows* windows = nullptr;
    const int status =
        striate_windows_new(g.inputs, g.positions, g.kernels, g.taps, g.patterns, g.base.data(), g.pattern.data(),
                            g.offsets.data(), g.own ? nullptr : g.kernel.data(), &windows);
    if (status != STRIATE_OK) {
        std::printf("tables refused: %s\n", striate_message(status));
        std::exit(1);
    }
    return windows;
}

void expect_close(const char* what, const Floats& got, const std::vector<double>& exact) {
    for (std::size_t i = 0; i < got.size(); ++i)
        if (!(std::fabs(got[i] - exact[i]) <= 1e-3 * (1 + std::fabs(exact[i])))) {
            std::printf("%s: element %zu is %g, expected %g\n", what, i, got[i], exact[i]);
            std::exit(1);
        }
}

void expect_ok(int status, const char* what) {
    if (status == STRIATE_OK) return;
    std::printf("%s: %s\n", what, striate_message(status));
    std::exit(1);
}

striate_array in(const Floats& values) { return {values.data(), static_cast<int64_t>(values.size())}; }
striate_result out(Floats& values) { return {values.data(), static_cast<int64_t>(values.size())}; }

struct Layer {
    Geometry g;
    striate_call call;
    Floats x, weight, bias, gy;
    std::vector<double> y, gx, gw;

    explicit Layer(Size size) : g(random_geometry(size)) {
        const int64_t groups = between(1, 2), images = between(0, 3) > 0 ? between(0, 40) : 1;
        call = {images, groups * between(1, 6), groups * between(1, 30), groups, 1, 0, 0, 0};
        if (size == Size::banded) call = {between(33, 40), groups * 12, groups * 2, groups, 1, 0, 0, 0};
        const int64_t channels = call.channels / groups;
        x = random_floats(call.images * call.channels * g.inputs);
        weight = random_floats(g.kernels * call.outputs * channels * g.taps);
        bias = random_floats(between(0, 1) ? call.outputs : g.kernels * call.outputs);
        gy = random_floats(call.images * call.outputs * g.positions);
        y.assign(gy.size(), 0);
        gx.assign(x.size(), 0);
        gw.assign(weight.size(), 0);
        const bool per_kernel = static_cast<int64_t>(bias.size()) == g.kernels * call.outputs;
        for (int64_t n = 0; n < call.images; ++n)
            for (int64_t o = 0; o < call.outputs; ++o)
                for (int64_t p = 0; p < g.positions; ++p) {
                    const int64_t at = (n * call.outputs + o) * g.positions + p;
                    const int64_t first = o / (call.outputs / groups) * channels;
                    y[at] = bias[(per_kernel ? g.kernel[p] * call.outputs : 0) + o];
                    for (int64_t c = 0; c < channels; ++c)
                        for (int64_t t = 0; t < g.taps; ++t) {
                            if (g.reads(p, t) < 0) continue;
                            const int64_t from = (n * call.channels + first + c) * g.inputs + g.reads(p, t);
                            const int64_t w = ((g.kernel[p] * call.outputs + o) * channels + c) * g.taps + t;
                            y[at] += static_cast<double>(weight[w]) * x[from];
                            gx[from] += static_cast<double>(weight[w]) * gy[at];
                            gw[w] += static_cast<double>(gy[at]) * x[from];
                        }
                }
    }

    void run(const striate_windows* windows, int threads, int instructions, int order) const {
        striate_call with = call;
        with.threads = threads;
        with.instructions = instructions;
        with.order = order;
        Floats result(y.size(), NAN);
        expect_ok(striate_forward(windows, &with, in(x), in(weight), STRIATE_FLOAT32, in(bias), out(result)), "forward");
        expect_close("forward", result, y);
        std::vector<uint16_t> halves(weight.size());  // only that it stays in bounds: its values are rounded
        striate_array narrow{halves.data(), static_cast<int64_t>(halves.size())};
        expect_ok(striate_forward(windows, &with, in(x), narrow, STRIATE_BFLOAT16, {nullptr, 0}, out(result)), "bfloat16");
        if (order != STRIATE_POSITIONS) {
            Floats of_x(x.size(), NAN);
            expect_ok(striate_input_gradient(windows, &with, in(gy), in(weight), out(of_x)), "input gradient");
            expect_close("input gradient", of_x, gx);
            Floats of_weight(weight.size(), NAN);
            expect_ok(striate_weight_gradient(windows, &with, in(gy), in(x), out(of_weight)), "weight gradient");
            expect_close("weight gradient", of_weight, gw);
        }
    }
};

// Tables with an entry changed at random: refused, or harmless.
void corrupt(Geometry g) {
    std::vector<int32_t>* tables[] = {&g.base, &g.pattern, &g.offsets, &g.kernel};
    std::vector<int32_t>& table = *tables[between(0, 3)];
    table[between(0, static_cast<int64_t>(table.size()) - 1)] = static_cast<int32_t>(between(INT32_MIN, INT32_MAX));
    striate_windows* windows = nullptr;
    striate_windows_new(g.inputs, g.positions, g.kernels, g.taps, g.patterns, g.base.data(), g.pattern.data(),
                        g.offsets.data(), g.kernel.data(), &windows);
    striate_windows_free(windows);
}

}  // namespace

int main(int count, char** arguments) {
    const int layers = count > 1 ? std::atoi(arguments[1]) : 100;
    const bool forks = count <= 2;  // the thread sanitizer does not follow a fork
    int runs = 0;
    for (int i = 0; i < layers; ++i) {
        const Layer layer(i % 20 == 7 ? Size::banded : Size::small);
        striate_windows* windows = make(layer.g);
        corrupt(layer.g);
        for (int instructions = STRIATE_BASELINE; instructions <= striate_best_instructions(); ++instructions)
            for (int order = STRIATE_CHOOSE; order <= STRIATE_POSITIONS; ++order, ++runs)
                layer.run(windows, 1 + (order + i) % 4, instructions, order);
        if (i % 10 == 0) {
            std::thread other([&] { layer.run(windows, 3, STRIATE_BEST, STRIATE_CHOOSE); });
            layer.run(windows, 2, STRIATE_BEST, STRIATE_IMAGES);
            other.join();
        }
        if (forks && i % 25 == 0) {
            const pid_t child = fork();
            if (child == 0) {
                layer.run(windows, 3, STRIATE_BEST, STRIATE_IMAGES);
                _exit(0);
            }
            int status = 1;
            waitpid(child, &status, 0);
            if (status != 0) return std::printf("the forked child failed\n"), 1;
        }
        striate_windows_free(windows);
    }
    std::printf("%d layers, %d runs: all as expected\n", layers, runs);
    return 0;
}
