// Rotary position embedding of bfloat16 queries and keys, NeoX pairing, in float.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <algorithm>

#include "narrow_floats.h"

using tvm::ffi::TensorView;

namespace {

// The row of the cache holds `half` cosines, then as many sines; channels from 2 * half on are copied.
void turn(const BFloat16* x, const float* row, int64_t half, int64_t width, BFloat16* y) {
  for (int64_t i = 0; i < half; ++i) {
    const float first = x[i], second = x[i + half], cos = row[i], sin = row[i + half];
    y[i] = BFloat16::from(first * cos - second * sin);
    y[i + half] = BFloat16::from(second * cos + first * sin);
  }
  std::copy(x + 2 * half, x + width, y + 2 * half);
}

void turn_all(TensorView x, TensorView cache, TensorView positions, TensorView y) {
  const int64_t tokens = x.size(0), heads = x.size(1), width = x.size(2), rotary = cache.size(1);
  const auto* place = static_cast<const int64_t*>(positions.data_ptr());
  const auto* rows = static_cast<const float*>(cache.data_ptr());
  const auto* from = static_cast<const BFloat16*>(x.data_ptr());
  auto* to = static_cast<BFloat16*>(y.data_ptr());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t start = t * heads * width; start < (t + 1) * heads * width; start += width)
      turn(from + start, rows + place[t] * rotary, rotary / 2, width, to + start);
}

}  // namespace

void rope(TensorView q, TensorView k, TensorView cos_sin_cache, TensorView positions, TensorView q_out,
          TensorView k_out) {
  turn_all(q, cos_sin_cache, positions, q_out);
  turn_all(k, cos_sin_cache, positions, k_out);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(rope, rope);
