// C = A B^T in float16 with float accumulation: each row of B is widened once and meets four rows of A at a time.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <vector>

#include "vector_loops.h"

using tvm::ffi::TensorView;

namespace {

constexpr int64_t kRows = 4;

// Dot products of one row with four rows that lie `stride` apart: the row is loaded once for all of them.
void dot_four(const float* row, const float* four, int64_t stride, int64_t n, float* result) {
  float lanes[kRows][kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t lane = 0; lane < kLanes; ++lane) lanes[r][lane] += row[i + lane] * four[r * stride + i + lane];
  for (int64_t r = 0; r < kRows; ++r) {
    result[r] = sum_lanes(lanes[r]);
    for (int64_t rest = i; rest < n; ++rest) result[r] += row[rest] * four[r * stride + rest];
  }
}

}  // namespace

void gemm(TensorView a, TensorView b, TensorView c) {
  const int64_t m = a.size(0), k = a.size(1), n = b.size(0);
  const int64_t padded = (m + kRows - 1) / kRows * kRows;
  const auto* b_rows = static_cast<const Float16*>(b.data_ptr());
  auto* out = static_cast<Float16*>(c.data_ptr());
  std::vector<float> wide_a(padded * k), wide_b(k);
  widen(static_cast<const Float16*>(a.data_ptr()), wide_a.data(), m * k);

  for (int64_t column = 0; column < n; ++column) {
    widen(b_rows + column * k, wide_b.data(), k);
    for (int64_t row = 0; row < m; row += kRows) {
      float sums[kRows];
      dot_four(wide_b.data(), &wide_a[row * k], k, k, sums);
      for (int64_t r = 0; r < kRows && row + r < m; ++r) out[(row + r) * n + column] = Float16::from(sums[r]);
    }
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(gemm, gemm);
