// A stable order of integers by radix sort: byte by byte from the least, leaving out bytes that all keys share.
// Linear in n, which std::stable_sort of scores by index is not: for 20,000 boxes it took longer than their
// suppression.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

#include "../descending_key.h"

namespace roibench {

// The indices of keys [n] in ascending order of keys, equal ones by index.
template <class Key>
std::vector<int64_t> stable_order(const std::vector<Key>& keys) {
  static_assert(std::is_unsigned_v<Key>);
  struct Item {
    Key key;
    int64_t index;
  };
  const int64_t n = static_cast<int64_t>(keys.size());
  std::array<std::array<int64_t, 256>, sizeof(Key)> counts = {};
  std::vector<Item> items(n), sorted(n);
  for (int64_t i = 0; i < n; ++i) {
    items[i] = {keys[i], i};
    for (size_t byte = 0; byte < sizeof(Key); ++byte) ++counts[byte][keys[i] >> (8 * byte) & 255];
  }
  for (size_t byte = 0; byte < sizeof(Key) && n > 0; ++byte) {
    std::array<int64_t, 256>& next = counts[byte];
    if (next[keys[0] >> (8 * byte) & 255] == n) continue;
    int64_t before = 0;
    for (int64_t& place : next) before += std::exchange(place, before);
    for (const Item& item : items) sorted[next[item.key >> (8 * byte) & 255]++] = item;
    items.swap(sorted);
  }
  std::vector<int64_t> order(n);
  for (int64_t i = 0; i < n; ++i) order[i] = items[i].index;
  return order;
}

// Best first; equal scores by index; NaN last.
template <class T>
std::vector<int64_t> by_score(const T* scores, int64_t n) {
  std::vector<decltype(descending_key(T()))> keys(n);
  for (int64_t i = 0; i < n; ++i) keys[i] = descending_key(scores[i]);
  return stable_order(keys);
}

}  // namespace roibench
