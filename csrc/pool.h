// Threads of our own, and the memory they work in.
//
// Not OpenMP: its pool, once used, hangs in the child of a fork.
#pragma once

#include <cstdint>

namespace striate {

using Body = void (*)(void* context, int64_t task, int worker);

// Runs body(context, task, worker) for every task in [0, tasks), on at most `threads` threads with
// worker in [0, threads), and returns when all are done. Which thread takes which task is open: a task
// must own what it writes. A call while another one is running (from another thread) uses its own thread only.
void parallel(int threads, int64_t tasks, Body body, void* context);

// Memory of the calling thread for this many floats, aligned to a cache line, valid until the next call
// on the same thread; null where there is none.
float* scratch(int64_t floats);

// Gives back the scratch of the calling thread where it is too large to keep for the next call.
void trim_scratch();

}  // namespace striate
