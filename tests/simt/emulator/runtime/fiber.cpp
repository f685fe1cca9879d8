#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

// The sanitizers' interfaces, by hand: this file is compiled without them, so their headers would declare nothing.
#if defined(SIMT_ADDRESS)
extern "C" {
void __sanitizer_start_switch_fiber(void** save, const void* bottom, size_t size);
void __sanitizer_finish_switch_fiber(void* save, const void** bottom_before, size_t* size_before);
void __asan_poison_memory_region(void const volatile* from, size_t bytes);
void __asan_unpoison_memory_region(void const volatile* from, size_t bytes);
}
#elif defined(SIMT_THREAD)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* cell);
void __tsan_release(void* cell);
void __tsan_mutex_destroy(void* cell, unsigned flags);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace simt {
namespace {

// Translated PTX keeps thousands of variables in one frame; only what is touched takes memory.
constexpr size_t kStack = 256 << 10;

Fiber* running = nullptr;
void* host_stack_pointer = nullptr;

#if defined(SIMT_ADDRESS)
void* host_fake_stack = nullptr;
const void* host_stack = nullptr;
size_t host_stack_size = 0;
#elif defined(SIMT_THREAD)
constexpr unsigned kOrdersNothing = 1;  // a switch is no synchronisation
void* host_state = nullptr;
#endif

unsigned char* map(void* at, size_t bytes) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0);
  void* const memory = mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) abort();
  return static_cast<unsigned char*>(memory);
}

#if !defined(__x86_64__)
#error "the emulator switches stacks in x86-64 assembly: add this processor's here"
#endif
// Keeps what a function call must keep, in *from; goes on where `to` stopped.
__attribute__((naked, noinline)) void switch_stack(void** /*from*/, void* /*to*/) {
  asm volatile(
      "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");
}
constexpr int kSavedRegisters = 6;

}  // namespace

Fiber::Fiber() {
  const size_t page = sysconf(_SC_PAGESIZE);
  unsigned char* const memory = map(nullptr, page + kStack);
  mprotect(memory, page, PROT_NONE);  // a stack that overflows faults, instead of writing into another
  stack_ = memory + page;
#if defined(SIMT_THREAD)
  thread_state_ = __tsan_create_fiber(0);
#endif
}

void Fiber::start(void (*body)()) {
  body_ = body;
  Region::allow(stack_, kStack);
  void** top = reinterpret_cast<void**>(stack_ + kStack);
  *--top = nullptr;  // where backtraces end
  *--top = reinterpret_cast<void*>(&Fiber::enter);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  stack_pointer_ = top;
}

void Fiber::enter() {
#if defined(SIMT_ADDRESS)
  __sanitizer_finish_switch_fiber(nullptr, &host_stack, &host_stack_size);
#endif
  running->body_();
  running->switch_out(true);
  abort();
}

void Fiber::resume() {
  running = this;
  switch_in();
  running = nullptr;
}

void Fiber::suspend() {
  running->switch_out(false);
}

void Fiber::switch_in() {
#if defined(SIMT_ADDRESS)
  __sanitizer_start_switch_fiber(&host_fake_stack, stack_, kStack);
#elif defined(SIMT_THREAD)
  host_state = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(thread_state_, kOrdersNothing);
#endif
  switch_stack(&host_stack_pointer, stack_pointer_);
#if defined(SIMT_ADDRESS)
  __sanitizer_finish_switch_fiber(host_fake_stack, nullptr, nullptr);
#endif
}

void Fiber::switch_out([[maybe_unused]] bool for_good) {
#if defined(SIMT_ADDRESS)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, host_stack, host_stack_size);
#elif defined(SIMT_THREAD)
  __tsan_switch_to_fiber(host_state, kOrdersNothing);
#endif
  switch_stack(&stack_pointer_, host_stack_pointer);
#if defined(SIMT_ADDRESS)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

#if defined(SIMT_THREAD)
namespace {
// ThreadSanitizer orders whom it takes to be running.
template <class F>
void on_behalf_of(void* state, F&& f) {
  void* const now = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(state, kOrdersNothing);
  f();
  __tsan_switch_to_fiber(now, kOrdersNothing);
}
}  // namespace
void Ordering::publish(void* cell, Fiber& by) {
  on_behalf_of(by.thread_state_, [=] { __tsan_release(cell); });
}
void Ordering::receive(void* cell, Fiber& by) {
  on_behalf_of(by.thread_state_, [=] { __tsan_acquire(cell); });
}
void Ordering::forget(void* cell) {
  __tsan_mutex_destroy(cell, 0);
}
void Ordering::publish_host(void* cell) {
  __tsan_release(cell);
}
void Ordering::receive_host(void* cell) {
  __tsan_acquire(cell);
}
void Ordering::name(Fiber& fiber, uint3 thread, uint3 block) {
  char name[100];
  snprintf(name, sizeof name, "thread (%u,%u,%u) of block (%u,%u,%u)", thread.x, thread.y, thread.z, block.x, block.y,
           block.z);
  __tsan_set_fiber_name(fiber.thread_state_, name);
}
#else
void Ordering::publish(void*, Fiber&) {}
void Ordering::receive(void*, Fiber&) {}
void Ordering::forget(void*) {}
void Ordering::publish_host(void*) {}
void Ordering::receive_host(void*) {}
void Ordering::name(Fiber&, uint3, uint3) {}
#endif

Region::Region(size_t bytes) : data_(map(nullptr, bytes)) {}

void Region::reset([[maybe_unused]] size_t offset, [[maybe_unused]] size_t bytes) {
#if defined(SIMT_THREAD)
  if (bytes == 0) return;
  // Unmapping forgets accesses; mapping anew would count as a write if writes weren't ignored.
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  munmap(data_ + offset, bytes);
  map(data_ + offset, bytes);
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
}

#if defined(SIMT_ADDRESS)
void Region::forbid(void* from, size_t bytes) {
  __asan_poison_memory_region(from, bytes);
}
void Region::allow(void* from, size_t bytes) {
  __asan_unpoison_memory_region(from, bytes);
}
#else
void Region::forbid(void*, size_t) {}
void Region::allow(void*, size_t) {}
#endif

}  // namespace simt
