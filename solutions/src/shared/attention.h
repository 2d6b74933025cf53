// Softmax attention of one query row over n keys, in float, in base 2.
#pragma once

#include <cmath>
#include <cstdint>

#include "vector_loops.h"

// logits[n] holds (q . k_j) * sm_scale * log2(e) and is overwritten; values[n][dim] are the rows of V.
// Writes the output row and returns the base-2 logarithm of the sum of exponentials.
inline float attend(float* logits, const float* values, int64_t n, int64_t dim, float* output) {
  std::fill(output, output + dim, 0.0f);
  if (n <= 0) return -INFINITY;
  float largest = *std::max_element(logits, logits + n);
  for (int64_t j = 0; j < n; ++j) logits[j] = exp2_nonpositive(logits[j] - largest);
  float total = 0;
  for (int64_t j = 0; j < n; ++j) total += logits[j];
  for (int64_t j = 0; j < n; ++j) add_scaled(logits[j] / total, values + j * dim, output, dim);
  return largest + std::log2(total);
}
