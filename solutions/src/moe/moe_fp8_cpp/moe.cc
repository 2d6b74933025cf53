// DeepSeek-V3 mixture of experts with block-scaled float8 weights, float inside.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include "block_scaled_experts.h"
#include "routing.h"

using tvm::ffi::TensorView;

namespace {

Assigned assign(TensorView logits, TensorView bias, int64_t local_experts, int64_t offset, float factor) {
  const int64_t experts = logits.size(1);
  const auto* rows = static_cast<const float*>(logits.data_ptr());
  const auto* biases = static_cast<const BFloat16*>(bias.data_ptr());
  Assigned assigned(local_experts);
  for (int64_t token = 0; token < logits.size(0); ++token) {
    const Choice choice = route(rows + token * experts, biases, experts, factor);
    for (int i = 0; i < kChosen; ++i) {
      const int64_t local = choice.experts[i] - offset;
      if (local >= 0 && local < local_experts) assigned[local].push_back({token, choice.weights[i]});
    }
  }
  return assigned;
}

}  // namespace

void moe(TensorView routing_logits, TensorView routing_bias, TensorView hidden_states,
         TensorView hidden_states_scale, TensorView gemm1_weights, TensorView gemm1_weights_scale,
         TensorView gemm2_weights, TensorView gemm2_weights_scale, int64_t local_expert_offset,
         double routed_scaling_factor, TensorView output) {
  const auto assigned = assign(routing_logits, routing_bias, gemm1_weights.size(0), local_expert_offset,
                               static_cast<float>(routed_scaling_factor));
  run_experts(assigned, hidden_states, hidden_states_scale, gemm1_weights, gemm1_weights_scale, gemm2_weights,
              gemm2_weights_scale, output);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(moe, moe);
