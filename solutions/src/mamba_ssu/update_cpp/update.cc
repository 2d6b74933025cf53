// Mamba's selective state update: each channel of each sequence has a row of the state that fades, grows and is read.

#include <tvm/ffi/function.h>

#include <cmath>
#include <vector>

#include "recurrence.h"
#include "vector_loops.h"

using tvm::ffi::TensorView;

namespace {

// row[i] <- row[i] * exp(delta * a[i]) + input * b[i], in place; returns its product with c.
float update_row(BFloat16* row, float delta, const float* a, float input, const float* b, const float* c, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float updated = row[i] * std::exp(delta * a[i]) + input * b[i];
    sum += updated * c[i];
    row[i] = BFloat16::from(updated);
  }
  return sum;
}

}  // namespace

void update(TensorView state, TensorView x, TensorView dt, TensorView a, TensorView b, TensorView c, TensorView d,
            TensorView dt_bias, TensorView state_batch_indices, TensorView output, TensorView new_state) {
  const int64_t heads = state.size(1), dim = state.size(2), n = state.size(3), groups = b.size(1);
  const int64_t channels = heads * dim;
  auto* cache = data<BFloat16>(new_state);
  std::copy(data<BFloat16>(state), data<BFloat16>(state) + state.size(0) * channels * n, cache);
  std::fill(data<BFloat16>(output), data<BFloat16>(output) + x.size(0) * channels, BFloat16::from(0));
  std::vector<float> inputs(groups * n), reads(groups * n);
  for (int64_t sequence = 0; sequence < x.size(0); ++sequence) {
    const int64_t slot = data<int32_t>(state_batch_indices)[sequence];
    if (slot < 0) continue;
    widen(data<BFloat16>(b) + sequence * groups * n, inputs.data(), groups * n);
    widen(data<BFloat16>(c) + sequence * groups * n, reads.data(), groups * n);
    for (int64_t channel = 0; channel < channels; ++channel) {
      const int64_t place = sequence * channels + channel, group = channel / dim * groups / heads;
      const float token = data<BFloat16>(x)[place];
      const float delta = softplus(data<BFloat16>(dt)[place] + data<BFloat16>(dt_bias)[channel]);
      const float read = update_row(cache + (slot * channels + channel) * n, delta, data<float>(a) + channel * n,
                                    delta * token, &inputs[group * n], &reads[group * n], n);
      data<BFloat16>(output)[place] = BFloat16::from(read + data<BFloat16>(d)[channel] * token);
    }
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(update, update);
