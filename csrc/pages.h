// Memory for results that the system has not yet given any.
#pragma once

#include <sys/mman.h>

#include <cstdint>

namespace striate {

// A large result usually lies in fresh memory, and to be given it 4 KiB at a time takes longer than to compute what goes
// there. Asks for large pages instead, where the system has them and leaves the choice to who asks (as most
// distributions' "madvise"); what is mapped already stays as it is. Only advice: nothing depends on whether it is taken.
inline void ask_for_large_pages(const void* data, int64_t bytes) {
#if defined(MADV_HUGEPAGE)
    constexpr uintptr_t page = uintptr_t{2} << 20;
    const uintptr_t start = reinterpret_cast<uintptr_t>(data), end = start + static_cast<uintptr_t>(bytes);
    const uintptr_t first = (start + page - 1) / page * page, last = end / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
    (void)data;
    (void)bytes;
#endif
}

}  // namespace striate
