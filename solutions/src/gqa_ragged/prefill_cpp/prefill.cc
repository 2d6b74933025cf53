// Causal grouped-query attention over packed sequences (prefill), bfloat16 in and out, float inside.
//
// Keys and values of a sequence are widened once per key-value head; query i of nq sees keys 0 .. i + nk - nq.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <vector>

#include "attention.h"

using tvm::ffi::TensorView;

namespace {

constexpr double kLog2E = 1.4426950408889634;

// Widens one head of n consecutive tokens of rows[tokens][heads][dim].
void gather(const BFloat16* rows, int64_t n, int64_t heads, int64_t head, int64_t dim, std::vector<float>& target) {
  target.resize(n * dim);
  for (int64_t t = 0; t < n; ++t) widen(rows + (t * heads + head) * dim, &target[t * dim], dim);
}

}  // namespace

void prefill_causal(TensorView q, TensorView k, TensorView v, TensorView qo_indptr, TensorView kv_indptr,
                    double sm_scale, TensorView output, TensorView lse) {
  const int64_t q_heads = q.size(1), kv_heads = k.size(1), dim = q.size(2), group = q_heads / kv_heads;
  const auto* q_bounds = static_cast<const int32_t*>(qo_indptr.data_ptr());
  const auto* kv_bounds = static_cast<const int32_t*>(kv_indptr.data_ptr());
  const auto* queries = static_cast<const BFloat16*>(q.data_ptr());
  const auto* key_rows = static_cast<const BFloat16*>(k.data_ptr());
  const auto* value_rows = static_cast<const BFloat16*>(v.data_ptr());
  auto* out = static_cast<BFloat16*>(output.data_ptr());
  auto* sums = static_cast<float*>(lse.data_ptr());
  const float scale = static_cast<float>(sm_scale * kLog2E);
  std::vector<float> keys, values, logits, query(dim), result(dim);

  for (int64_t b = 0; b + 1 < qo_indptr.size(0); ++b) {
    const int64_t nq = q_bounds[b + 1] - q_bounds[b], nk = kv_bounds[b + 1] - kv_bounds[b];
    logits.resize(nk);
    for (int64_t head = 0; head < kv_heads && nq > 0; ++head) {
      gather(key_rows + kv_bounds[b] * kv_heads * dim, nk, kv_heads, head, dim, keys);
      gather(value_rows + kv_bounds[b] * kv_heads * dim, nk, kv_heads, head, dim, values);
      for (int64_t i = 0; i < nq; ++i) {
        const int64_t seen = std::max<int64_t>(0, i + 1 + nk - nq);
        for (int64_t h = head * group; h < (head + 1) * group; ++h) {
          const int64_t row = (q_bounds[b] + i) * q_heads + h;
          widen(queries + row * dim, query.data(), dim);
          for (int64_t j = 0; j < seen; ++j) logits[j] = dot(query.data(), &keys[j * dim], dim) * scale;
          sums[row] = attend(logits.data(), values.data(), seen, dim, result.data());
          narrow(result.data(), out + row * dim, dim);
        }
      }
    }
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(prefill_causal, prefill_causal);
