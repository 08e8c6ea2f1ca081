#include "pool.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

namespace striate {
namespace {

// Kept between calls: fresh pages cost more than the work of a small layer.
constexpr int64_t kKeptFloats = int64_t{4} << 20;
constexpr std::size_t kCacheLine = 64;

// Longer than from one part of a call to its next, and much shorter than anyone else would notice.
constexpr auto kSpin = std::chrono::microseconds(20);

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Whether `ready` came true within a short time.
template <class Ready>
bool soon(const Ready& ready) {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
        for (int i = 0; i < 16; ++i) {
            if (ready()) return true;
            relax();
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

class Pool {
public:
    void run(int threads, int64_t tasks, Body body, void* context) {
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        int helpers = turn.owns_lock() ? hire(threads - 1) : 0;
        if (helpers == 0) {
            for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
            return;
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            body_ = body;
            context_ = context;
            tasks_ = tasks;
            next_.store(0, std::memory_order_relaxed);
            helpers_ = helpers;
            ++round_;
        }
        begin_.notify_all();
        work(0);
        {
            // Who wakes only now would find nothing to do, and is not waited for.
            std::lock_guard<std::mutex> lock(mutex_);
            helpers_ = 0;
        }
        if (soon([this] { return working_.load(std::memory_order_acquire) == 0; })) return;
        std::unique_lock<std::mutex> lock(mutex_);
        end_.wait(lock, [this] { return working_ == 0; });
    }

private:
    // Sees to it that there are this many threads beside the caller's, or as many as can be had.
    int hire(int wanted) {
        while (hired_ < wanted) {
            try {
                uint64_t seen;
                {
                    std::lock_guard<std::mutex> lock(mutex_);
                    seen = round_;
                }
                std::thread([this, worker = hired_ + 1, seen] { serve(worker, seen); }).detach();
            } catch (const std::exception&) {
                break;  // The machine has no thread or no memory left: do with fewer.
            }
            ++hired_;
        }
        return hired_ < wanted ? hired_ : wanted;
    }

    void serve(int worker, uint64_t seen) {
        for (;;) {
            soon([&] { return round_.load(std::memory_order_acquire) != seen; });
            std::unique_lock<std::mutex> lock(mutex_);
            begin_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            if (worker > helpers_) continue;
            ++working_;
            lock.unlock();
            work(worker);
            lock.lock();
            if (--working_ == 0) end_.notify_one();
        }
    }

    void work(int worker) {
        for (;;) {
            int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
            if (task >= tasks_) return;
            body_(context_, task, worker);
        }
    }

    std::mutex turn_;  // held by the one caller that the helpers work for
    int hired_ = 0;    // guarded by turn_

    std::mutex mutex_;
    std::condition_variable begin_, end_;
    std::atomic<uint64_t> round_{0};
    int helpers_ = 0;              // up to which helper may join the round: none once the caller has done its part
    std::atomic<int> working_{0};  // helpers that have joined and not finished
    Body body_ = nullptr;
    void* context_ = nullptr;
    int64_t tasks_ = 0;
    std::atomic<int64_t> next_{0};
};

// Never destroyed: its threads sleep until the process ends.
std::atomic<Pool*> the_pool{nullptr};

// The child of a fork has none of the pool's threads and perhaps a locked mutex: it starts a pool of its own.
void forget() { the_pool.store(nullptr, std::memory_order_relaxed); }

Pool& pool() {
    static const int registered = pthread_atfork(nullptr, nullptr, forget);
    (void)registered;
    Pool* pool = the_pool.load(std::memory_order_acquire);
    if (pool == nullptr) {
        Pool* made = new Pool;
        if (the_pool.compare_exchange_strong(pool, made, std::memory_order_acq_rel)) return *made;
        delete made;
    }
    return *pool;
}

struct Scratch {
    float* data = nullptr;
    int64_t floats = 0;

    void release() {
        std::free(data);
        data = nullptr;
        floats = 0;
    }
    ~Scratch() { release(); }
};

thread_local Scratch own_scratch;

}  // namespace

void parallel(int threads, int64_t tasks, Body body, void* context) {
    if (threads > tasks) threads = static_cast<int>(tasks);
    if (threads > 1) return pool().run(threads, tasks, body, context);
    for (int64_t task = 0; task < tasks; ++task) body(context, task, 0);
}

float* scratch(int64_t floats) {
    if (floats <= own_scratch.floats) return own_scratch.data;
    own_scratch.release();
    if (floats > (INT64_MAX / 8)) return nullptr;
    std::size_t bytes = (static_cast<std::size_t>(floats) * sizeof(float) + kCacheLine - 1) / kCacheLine * kCacheLine;
    own_scratch.data = static_cast<float*>(std::aligned_alloc(kCacheLine, bytes));
    if (own_scratch.data != nullptr) own_scratch.floats = floats;
    return own_scratch.data;
}

void trim_scratch() {
    if (own_scratch.floats > kKeptFloats) own_scratch.release();
}

}  // namespace striate
