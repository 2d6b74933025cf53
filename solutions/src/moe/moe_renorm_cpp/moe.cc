// Mixture of experts weighted by the softmax of the largest logits, block-scaled float8 weights, float inside.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cmath>
#include <vector>

#include "block_scaled_experts.h"
#include "largest.h"

using tvm::ffi::TensorView;

namespace {

constexpr int64_t kTopK = 4;  // of the small definition; the official ones choose 8 or 10

Assigned assign(TensorView logits) {
  const int64_t experts = logits.size(1);
  const auto* rows = static_cast<const BFloat16*>(logits.data_ptr());
  Assigned assigned(experts);
  std::vector<float> row(experts);
  for (int64_t token = 0; token < logits.size(0); ++token) {
    widen(rows + token * experts, row.data(), experts);
    const auto chosen = largest(row, kTopK);
    float total = 0;
    for (int64_t e : chosen) total += std::exp(row[e] - row[chosen[0]]);
    for (int64_t e : chosen) assigned[e].push_back({token, std::exp(row[e] - row[chosen[0]]) / total});
  }
  return assigned;
}

}  // namespace

void moe(TensorView routing_logits, TensorView hidden_states, TensorView hidden_states_scale,
         TensorView gemm1_weights, TensorView gemm1_weights_scale, TensorView gemm2_weights,
         TensorView gemm2_weights_scale, TensorView output) {
  run_experts(assign(routing_logits), hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale,
              gemm2_weights, gemm2_weights_scale, output);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(moe, moe);
