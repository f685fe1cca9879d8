// One block while it runs: its threads, who waits for whom, and which thread runs next.
#pragma once

#include <string>
#include <vector>

#include "../synchronize.h"
#include "fiber.h"

namespace simt {

constexpr int kMaxThreads = 1024;

enum class State { ready, at_barrier, in_warp, exited };

struct Thread {
  State state = State::ready;
  uint3 index;
  Fiber* fiber;
  Site at;  // where it waits
  // What it brings to the barrier or to the collective that it waits in, and what it gets.
  bool predicate;
  Vote vote;
  Combine combine;
  uint32_t mask;
  int argument, width;
  uint64_t value, result;
};

// The threads that can go on. Holds its memory itself: an allocation in one fiber that is freed in another would be a
// race to ThreadSanitizer.
class Ready {
 public:
  bool empty() const { return count_ == 0; }
  unsigned size() const { return count_; }
  void clear() { count_ = 0; }
  void push(int thread) { at(count_++) = thread; }
  int take_first() { return --count_, ring_[first_++ % kMaxThreads]; }
  int take_last() { return at(--count_); }
  int& at(unsigned i) { return ring_[(first_ + i) % kMaxThreads]; }

 private:
  int ring_[kMaxThreads];
  unsigned first_ = 0, count_ = 0;
};

// Everything about a run that the seed decides, and nothing else does.
class Schedule {
 public:
  explicit Schedule(unsigned seed = 0) : seed_(seed), state_(seed) {}
  bool random() const { return seed_ >= 2; }
  bool blocks_backwards() const { return seed_ % 2 == 1; }
  unsigned char garbage() const { return seed_ % 2 == 0 ? 0xff : 0x7b; }  // NaN and -1, or 1.3e36 and 2e9
  unsigned below(unsigned n);
  int next(Ready& ready);

 private:
  unsigned seed_;
  uint64_t state_;
};

class Block {
 public:
  // Runs body() once in every thread. Empty, or what went wrong. What the threads did is published in
  // end_cell.
  std::string run(void (*body)(), dim3 size, Schedule& schedule, void* end_cell);

  Thread& current() { return threads_[running_]; }
  int lane() const { return running_ % 32; }
  int barrier(bool predicate, Vote vote, Site at);
  uint64_t collective(Combine combine, uint32_t mask, uint64_t value, int argument, int width, Site at);
  void yield();
  [[noreturn]] void fail(const char* why, Site at);

 private:
  static void body_of_thread();
  bool warp_is_complete(int thread) const;
  void release_barrier();
  void release_warp(int thread);
  void make_ready(int thread);
  std::string report(const char* why) const;

  std::vector<Thread> threads_;
  Ready ready_;
  int running_ = 0, at_barrier_ = 0, alive_ = 0;
  Site barrier_site_;  // where the first of them waits
  void (*body_)() = nullptr;
  const char* failure_ = nullptr;
};

extern Block block;
extern Schedule schedule;

}  // namespace simt
