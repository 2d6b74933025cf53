// Loops over float rows that a compiler turns into vector instructions without being allowed to reorder sums.
#pragma once

#include <algorithm>
#include <cstdint>

#include "narrow_floats.h"

constexpr int64_t kLanes = 16;

template <typename Narrow>
inline void widen(const Narrow* source, float* target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) target[i] = source[i];
}

template <typename Narrow>
inline void narrow(const float* source, Narrow* target, int64_t n) {
  for (int64_t i = 0; i < n; ++i) target[i] = Narrow::from(source[i]);
}

inline float sum_lanes(const float (&lanes)[kLanes]) {
  float total = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) total += lanes[lane];
  return total;
}

inline float dot(const float* a, const float* b, int64_t n) {
  float lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  float total = sum_lanes(lanes);
  for (; i < n; ++i) total += a[i] * b[i];
  return total;
}

// y += factor * x
inline void add_scaled(float factor, const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

// 2^x for x <= 0, to about float precision; smaller than -126 counts as -126, which is 0 beside any 2^0.
inline float exp2_nonpositive(float x) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  float bounded = std::max(x, -126.0f);
  float shifted = bounded + kRound;
  float f = (bounded - (shifted - kRound)) * 0.693147181f;
  float p = 1 + f * (1 + f * (1 / 2.0f + f * (1 / 6.0f + f * (1 / 24.0f + f * (1 / 120.0f + f * (1 / 720.0f))))));
  return bits_to_float(float_to_bits(p) + (float_to_bits(shifted) << 23));
}
