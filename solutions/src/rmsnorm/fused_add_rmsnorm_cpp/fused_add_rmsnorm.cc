// Root-mean-square normalisation of the sum of two bfloat16 tensors, in float; the sum is not rounded between.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cmath>
#include <vector>

#include "vector_loops.h"

using tvm::ffi::TensorView;

constexpr float kEpsilon = 1e-6f;

void fused_add_rmsnorm(TensorView hidden_states, TensorView residual, TensorView weight, TensorView output) {
  const int64_t rows = hidden_states.size(0), width = hidden_states.size(1);
  const auto* x = static_cast<const BFloat16*>(hidden_states.data_ptr());
  const auto* added = static_cast<const BFloat16*>(residual.data_ptr());
  auto* y = static_cast<BFloat16*>(output.data_ptr());
  std::vector<float> sum(width), gain(width);
  widen(static_cast<const BFloat16*>(weight.data_ptr()), gain.data(), width);

  for (int64_t start = 0; start < rows * width; start += width) {
    for (int64_t i = 0; i < width; ++i) sum[i] = float(x[start + i]) + float(added[start + i]);
    const float scale = 1 / std::sqrt(dot(sum.data(), sum.data(), width) / width + kEpsilon);
    for (int64_t i = 0; i < width; ++i) y[start + i] = BFloat16::from(sum[i] * scale * gain[i]);
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(fused_add_rmsnorm, fused_add_rmsnorm);
