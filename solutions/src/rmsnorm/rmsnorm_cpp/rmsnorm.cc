// Root-mean-square normalisation of bfloat16 rows, in float.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cmath>
#include <vector>

#include "vector_loops.h"

using tvm::ffi::TensorView;

constexpr float kEpsilon = 1e-6f;

void rmsnorm(TensorView hidden_states, TensorView weight, TensorView output) {
  const int64_t rows = hidden_states.size(0), width = hidden_states.size(1);
  const auto* x = static_cast<const BFloat16*>(hidden_states.data_ptr());
  auto* y = static_cast<BFloat16*>(output.data_ptr());
  std::vector<float> row(width), gain(width);
  widen(static_cast<const BFloat16*>(weight.data_ptr()), gain.data(), width);

  for (int64_t r = 0; r < rows; ++r) {
    widen(x + r * width, row.data(), width);
    const float scale = 1 / std::sqrt(dot(row.data(), row.data(), width) / width + kEpsilon);
    for (int64_t i = 0; i < width; ++i) y[r * width + i] = BFloat16::from(row[i] * scale * gain[i]);
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(rmsnorm, rmsnorm);
