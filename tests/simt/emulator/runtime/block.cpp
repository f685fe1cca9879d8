#include "block.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace simt {

Block block;
Schedule schedule;
uint3 thread_index, block_index;
dim3 block_size, grid_size;

namespace {

constexpr int kFiberSets = 3;

// Where threads meet, as ThreadSanitizer knows it by addresses eight bytes apart: the block at its barrier, the lanes
// of a warp at the cell of the lowest.
alignas(8) char barrier_cell[8], warp_cells[kMaxThreads][8], host_cell[8];

Fiber& fiber(int i) {
  static std::vector<std::unique_ptr<Fiber>> made;
  while (int(made.size()) <= i) made.push_back(std::make_unique<Fiber>());
  return *made[i];
}

uint64_t sync_only(const Lanes&, int, int, int) {
  return 0;
}

}  // namespace

unsigned Schedule::below(unsigned n) {
  state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
  return unsigned(state_ >> 33) % n;
}

int Schedule::next(Ready& ready) {
  if (random()) std::swap(ready.at(0), ready.at(below(ready.size())));
  return seed_ == 1 ? ready.take_last() : ready.take_first();
}

void Block::body_of_thread() {
  block.body_();
  Thread& self = block.current();
  self.state = State::exited;
  self.at = Site();
}

std::string Block::run(void (*body)(), dim3 size, Schedule& order, void* end_cell) {
  body_ = body;
  failure_ = nullptr;
  at_barrier_ = 0;
  alive_ = int(size.x * size.y * size.z);
  threads_.assign(alive_, Thread());
  ready_.clear();
  Ordering::forget(barrier_cell);
  for (int i = 0; i < alive_; ++i) Ordering::forget(warp_cells[i]);
  // ThreadSanitizer takes what one fiber does for one thread's work, in whichever blocks, and a barrier has ordered the
  // fibers of its block. So that blocks can race, each takes one of several sets of fibers.
  const int set = int(order.below(kFiberSets));
  Ordering::publish_host(host_cell);
  for (int i = 0; i < alive_; ++i) {
    Thread& t = threads_[i];
    t.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    t.fiber = &fiber(i * kFiberSets + set);
    t.fiber->start(&body_of_thread);
    Ordering::receive(host_cell, *t.fiber);
    Ordering::name(*t.fiber, t.index, block_index);
    ready_.push(i);
  }
  while (!ready_.empty() && failure_ == nullptr) {
    running_ = order.next(ready_);
    Thread& t = threads_[running_];
    thread_index = t.index;
    t.fiber->resume();
    if (t.state != State::exited) continue;
    --alive_;
    // Its warp may have waited for nobody else.
    const int first = running_ / 32 * 32;
    for (int i = first; i < first + 32 && i < int(threads_.size()); ++i) {
      if (threads_[i].state == State::in_warp && warp_is_complete(i)) release_warp(i);
    }
  }
  for (const Thread& t : threads_) Ordering::publish(end_cell, *t.fiber);
  if (failure_ != nullptr) return report(failure_);
  if (alive_ == 0) return "";
  return report(at_barrier_ == alive_ ? "__syncthreads is not reached by threads that have left the kernel"
                                      : "deadlock: not all threads reach what the others wait for");
}

void Block::make_ready(int thread) {
  threads_[thread].state = State::ready;
  ready_.push(thread);
}

int Block::barrier(bool predicate, Vote vote, Site at) {
  if (at_barrier_ == 0) {
    barrier_site_ = at;
  } else if (at.line != barrier_site_.line || strcmp(at.file, barrier_site_.file) != 0) {
    fail("threads of one block wait at different barriers", at);
  }
  Thread& self = current();
  self.predicate = predicate;
  self.vote = vote;
  self.state = State::at_barrier;
  self.at = at;
  if (++at_barrier_ == int(threads_.size())) release_barrier();
  Fiber::suspend();
  return int(current().result);
}

void Block::release_barrier() {
  int count = 0;
  for (const Thread& t : threads_) {
    Ordering::publish(barrier_cell, *t.fiber);
    count += t.predicate;
  }
  const int all = int(threads_.size());
  for (int i = 0; i < all; ++i) {
    Thread& t = threads_[i];
    Ordering::receive(barrier_cell, *t.fiber);
    t.result = t.vote == Vote::count ? count : t.vote == Vote::all ? count == all : count > 0;
    make_ready(i);
  }
  at_barrier_ = 0;
}

bool Block::warp_is_complete(int thread) const {
  const Thread& self = threads_[thread];
  const int first = thread / 32 * 32;
  for (int i = 0; i < 32 && first + i < int(threads_.size()); ++i) {
    const Thread& other = threads_[first + i];
    if (!(self.mask >> i & 1) || other.state == State::exited) continue;
    if (other.state != State::in_warp || other.mask != self.mask || other.combine != self.combine ||
        other.at.line != self.at.line) {
      return false;
    }
  }
  return true;
}

void Block::release_warp(int thread) {
  const int first = thread / 32 * 32;
  const uint32_t mask = threads_[thread].mask;
  const bool orders_memory = threads_[thread].combine == sync_only;
  void* const cell = warp_cells[first + std::countr_zero(mask)];
  Lanes lanes;
  lanes.present = 0;
  for (int i = 0; i < 32; ++i) {
    lanes.value[i] = schedule.garbage() * 0x0101010101010101u;
    if (!(mask >> i & 1) || first + i >= int(threads_.size())) continue;
    const Thread& t = threads_[first + i];
    if (t.state == State::exited) continue;
    lanes.present |= 1u << i;
    lanes.value[i] = t.value;
    if (orders_memory) Ordering::publish(cell, *t.fiber);
  }
  for (int i = 0; i < 32; ++i) {
    if (!(lanes.present >> i & 1)) continue;
    Thread& t = threads_[first + i];
    if (orders_memory) Ordering::receive(cell, *t.fiber);
    t.result = t.combine(lanes, i, t.argument, t.width);
    make_ready(first + i);
  }
}

uint64_t Block::collective(Combine combine, uint32_t mask, uint64_t value, int argument, int width, Site at) {
  if (!(mask >> lane() & 1)) fail("a lane calls a warp collective whose mask leaves it out", at);
  Thread& self = current();
  self.combine = combine;
  self.mask = mask;
  self.value = value;
  self.argument = argument;
  self.width = width;
  self.state = State::in_warp;
  self.at = at;
  if (warp_is_complete(running_)) release_warp(running_);
  Fiber::suspend();
  return current().result;
}

void Block::yield() {
  make_ready(running_);
  Fiber::suspend();
}

void Block::fail(const char* why, Site at) {
  failure_ = why;
  current().at = at;
  Fiber::suspend();
  __builtin_unreachable();
}

std::string Block::report(const char* why) const {
  static const char* const doing[] = {"runs", "waits in __syncthreads", "waits for its warp", "has left the kernel"};
  char line[400];
  snprintf(line, sizeof line, "%s, in block (%u,%u,%u)", why, block_index.x, block_index.y, block_index.z);
  std::string text = line;
  if (failure_) {
    const Thread& t = threads_[running_];
    snprintf(line, sizeof line, "\n  found by thread %d at %s:%d", running_, t.at.file, t.at.line);
    text += line;
  }
  const auto alike = [](const Thread& a, const Thread& b) {
    return a.state == b.state && a.at == b.at && (a.state != State::in_warp || a.mask == b.mask);
  };
  constexpr int kMaxLines = 10;
  for (size_t i = 0, lines = 0; i < threads_.size() && lines < kMaxLines; ++lines) {
    size_t end = i;
    while (end < threads_.size() && alike(threads_[i], threads_[end])) ++end;
    const Thread& t = threads_[i];
    snprintf(line, sizeof line, "\n  thread %zu to %zu: %s", i, end - 1, doing[int(t.state)]);
    text += line;
    if (t.at.file) snprintf(line, sizeof line, " at %s:%d", t.at.file, t.at.line), text += line;
    if (t.state == State::in_warp) snprintf(line, sizeof line, ", mask %08x", t.mask), text += line;
    i = end;
  }
  return text;
}

int lane() {
  return block.lane();
}
void fail(const char* why, Site at) {
  block.fail(why, at);
}
int barrier(bool predicate, Vote vote, Site at) {
  return block.barrier(predicate, vote, at);
}
uint64_t collective(Combine combine, uint32_t mask, uint64_t value, int argument, int width, Site at) {
  return block.collective(combine, mask, value, argument, width, at);
}
void sync_warp(uint32_t mask, Site at) {
  block.collective(sync_only, mask, 0, 0, 32, at);
}
void maybe_yield() {
  constexpr unsigned kOneIn = 8;
  if (schedule.random() && schedule.below(kOneIn) == 0) block.yield();
}

}  // namespace simt
