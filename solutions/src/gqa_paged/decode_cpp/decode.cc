// Grouped-query attention of one query per sequence over a paged cache of bfloat16 keys and values.
//
// The keys and values of a sequence are widened once per key-value head and serve all query heads of its group.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <vector>

#include "attention.h"

using tvm::ffi::TensorView;

namespace {

constexpr double kLog2E = 1.4426950408889634;

struct Cache {
  const BFloat16* rows;  // [pages, page_size, heads, dim]
  int64_t page_size, heads, dim;

  // Widens the first `tokens` rows of one head of these pages into target[tokens][dim].
  void gather(const int32_t* pages, int64_t tokens, int64_t head, float* target) const {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = pages[t / page_size] * page_size + t % page_size;
      widen(rows + (row * heads + head) * dim, target + t * dim, dim);
    }
  }
};

Cache cache_of(TensorView tensor) {
  return {static_cast<const BFloat16*>(tensor.data_ptr()), tensor.size(1), tensor.size(2), tensor.size(3)};
}

void decode_one(const BFloat16* q, int64_t q_heads, const Cache& k_cache, const Cache& v_cache,
                const int32_t* pages, int64_t tokens, float scale, BFloat16* output, float* lse) {
  const int64_t dim = k_cache.dim, group = q_heads / k_cache.heads;
  std::vector<float> keys(tokens * dim), values(tokens * dim), logits(tokens), query(dim), result(dim);
  for (int64_t head = 0; head < k_cache.heads; ++head) {
    k_cache.gather(pages, tokens, head, keys.data());
    v_cache.gather(pages, tokens, head, values.data());
    for (int64_t h = head * group; h < (head + 1) * group; ++h) {
      widen(q + h * dim, query.data(), dim);
      for (int64_t t = 0; t < tokens; ++t) logits[t] = dot(query.data(), &keys[t * dim], dim) * scale;
      lse[h] = attend(logits.data(), values.data(), tokens, dim, result.data());
      narrow(result.data(), output + h * dim, dim);
    }
  }
}

// last_page_len is null where every page is full.
void decode_all(TensorView q, TensorView k_cache, TensorView v_cache, TensorView kv_indptr, TensorView kv_indices,
                const int32_t* last_page_len, double sm_scale, TensorView output, TensorView lse) {
  const Cache keys = cache_of(k_cache), values = cache_of(v_cache);
  const auto* indptr = static_cast<const int32_t*>(kv_indptr.data_ptr());
  const auto* indices = static_cast<const int32_t*>(kv_indices.data_ptr());
  const auto* queries = static_cast<const BFloat16*>(q.data_ptr());
  auto* out = static_cast<BFloat16*>(output.data_ptr());
  auto* sums = static_cast<float*>(lse.data_ptr());
  const int64_t heads = q.size(1);
  for (int64_t b = 0; b < q.size(0); ++b) {
    const int64_t pages = indptr[b + 1] - indptr[b];
    int64_t tokens = pages * keys.page_size;
    if (pages > 0 && last_page_len) tokens += last_page_len[b] - keys.page_size;
    decode_one(queries + b * heads * keys.dim, heads, keys, values, indices + indptr[b], tokens,
               static_cast<float>(sm_scale * kLog2E), out + b * heads * keys.dim, sums + b * heads);
  }
}

}  // namespace

void decode_tokens(TensorView q, TensorView k_cache, TensorView v_cache, TensorView kv_indptr,
                   TensorView kv_indices, double sm_scale, TensorView output, TensorView lse) {
  decode_all(q, k_cache, v_cache, kv_indptr, kv_indices, nullptr, sm_scale, output, lse);
}

void decode_pages(TensorView q, TensorView k_cache, TensorView v_cache, TensorView kv_indptr,
                  TensorView kv_indices, TensorView kv_last_page_len, double sm_scale, TensorView output,
                  TensorView lse) {
  const auto* last_page_len = static_cast<const int32_t*>(kv_last_page_len.data_ptr());
  decode_all(q, k_cache, v_cache, kv_indptr, kv_indices, last_page_len, sm_scale, output, lse);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(decode_tokens, decode_tokens);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(decode_pages, decode_pages);
