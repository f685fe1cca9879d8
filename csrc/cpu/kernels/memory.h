// Working memory of one call of a kernel. Not std::vector: a template, and so a symbol that SIMD levels would share.
template <class T>
struct Memory {
  T* const data;
  explicit Memory(int64_t n) : data(static_cast<T*>(::operator new(sizeof(T) * n))) {}
  ~Memory() { ::operator delete(data); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
};
