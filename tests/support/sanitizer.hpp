#pragma once
/// MIA_ASAN, MIA_TSAN: defined where a file is compiled with -fsanitize=address or thread. GCC has macros for it, clang
/// 14 has features.
#if defined(__SANITIZE_ADDRESS__)
#define MIA_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define MIA_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MIA_ASAN 1
#elif __has_feature(thread_sanitizer)
#define MIA_TSAN 1
#endif
#endif
