// The largest of a few scores.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

// Indices of the `count` largest scores, largest first; the earlier one of equals.
inline std::vector<int64_t> largest(const std::vector<float>& scores, int64_t count) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int64_t a, int64_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  order.resize(count);
  return order;
}
