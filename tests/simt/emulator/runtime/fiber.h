// Stacks that can be left and entered again, with the sanitizers told of every change.
//
// Only kernels are compiled with a sanitizer. The emulator itself isn't, so that its own accesses are never part of a
// race; what a sanitizer must know of it, it is told through the functions here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../types.h"

namespace simt {

class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;

  // The next resume() begins body(), on an empty stack. Whatever was on it is dropped.
  void start(void (*body)());
  // Runs the fiber until it suspends itself or its body returns.
  void resume();
  // Back to whoever resumed the running fiber.
  static void suspend();

 private:
  friend class Ordering;
  [[noreturn]] static void enter();
  void switch_in();
  void switch_out(bool for_good);

  unsigned char* stack_;
  void* stack_pointer_ = nullptr;
  void (*body_)() = nullptr;
  void* fake_stack_ = nullptr;    // AddressSanitizer's
  void* thread_state_ = nullptr;  // ThreadSanitizer's: to it each fiber is a thread of its own
};

// Which accesses happen before which others, as ThreadSanitizer is told. Elsewhere nothing is done.
class Ordering {
 public:
  // What `by` did until now comes before all that those do who receive from the same cell from now on.
  static void publish(void* cell, Fiber& by);
  static void receive(void* cell, Fiber& by);
  static void forget(void* cell);
  static void publish_host(void* cell);
  static void receive_host(void* cell);
  // For reports.
  static void name(Fiber& fiber, uint3 thread, uint3 block);
};

// Memory whose past can be forgotten: after reset() nothing in it has been accessed.
class Region {
 public:
  explicit Region(size_t bytes);
  unsigned char* data() const { return data_; }
  void reset(size_t offset, size_t bytes);  // offset: a multiple of the page size
  // For AddressSanitizer.
  static void forbid(void* from, size_t bytes);
  static void allow(void* from, size_t bytes);

 private:
  unsigned char* data_;
};

}  // namespace simt
