// Gated delta nets: the tokens of a sequence go one by one into its states, head by head, row by row.

#include <tvm/ffi/function.h>

#include <cmath>
#include <vector>

#include "recurrence.h"
#include "vector_loops.h"

using tvm::ffi::TensorView;

namespace {

// Tokens in a row, whatever sequences they belong to: q and k [tokens, qk_heads, dim], v and output
// [tokens, v_heads, dim], a and b [tokens, v_heads]. A state is [dim of v][dim of k].
struct Layer {
  const BFloat16 *q, *k, *v, *a, *b;
  const float *a_log, *dt_bias;
  BFloat16* output;
  int64_t qk_heads, v_heads, dim;
  float scale;

  Layer(TensorView q, TensorView k, TensorView v, TensorView a_log, TensorView a, TensorView dt_bias, TensorView b,
        double scale, TensorView output)
      : q(data<BFloat16>(q)), k(data<BFloat16>(k)), v(data<BFloat16>(v)), a(data<BFloat16>(a)),
        b(data<BFloat16>(b)), a_log(data<float>(a_log)), dt_bias(data<float>(dt_bias)),
        output(data<BFloat16>(output)), qk_heads(q.size(q.ndim() - 2)), v_heads(v.size(v.ndim() - 2)),
        dim(v.size(v.ndim() - 1)), scale(static_cast<float>(scale != 0 ? scale : 1 / std::sqrt(dim))) {}

  int64_t state_size() const { return dim * dim; }

  float decay(int64_t token, int64_t head) const {
    return std::exp(-std::exp(a_log[head]) * softplus(a[token * v_heads + head] + dt_bias[head]));
  }

  float beta(int64_t token, int64_t head) const { return 1 / (1 + std::exp(-float(b[token * v_heads + head]))); }
};

// row <- decay * row + error * k; returns the product of the new row with q.
float update_row(float* row, float decay, float error, const float* k, const float* q, int64_t n) {
  for (int64_t i = 0; i < n; ++i) row[i] = decay * row[i] + error * k[i];
  return dot(row, q, n);
}

// Room for one token of one head.
class Head {
 public:
  Head(const Layer& layer, int64_t head)
      : layer_(layer), head_(head), q_(layer.dim), k_(layer.dim), v_(layer.dim), read_(layer.dim) {}

  void take(int64_t token, float* state) {
    const int64_t dim = layer_.dim, shared = head_ * layer_.qk_heads / layer_.v_heads;
    const int64_t place = (token * layer_.v_heads + head_) * dim;
    widen(layer_.q + (token * layer_.qk_heads + shared) * dim, q_.data(), dim);
    widen(layer_.k + (token * layer_.qk_heads + shared) * dim, k_.data(), dim);
    widen(layer_.v + place, v_.data(), dim);
    const float decay = layer_.decay(token, head_), beta = layer_.beta(token, head_);
    for (int64_t row = 0; row < dim; ++row) {
      const float error = beta * (v_[row] - decay * dot(state + row * dim, k_.data(), dim));
      read_[row] = layer_.scale * update_row(state + row * dim, decay, error, k_.data(), q_.data(), dim);
    }
    narrow(read_.data(), layer_.output + place, dim);
  }

 private:
  const Layer& layer_;
  int64_t head_;
  std::vector<float> q_, k_, v_, read_;
};

// Copies the states of a sequence and takes its tokens into the copy.
void run_sequence(const Layer& layer, int64_t first, int64_t last, const float* state, float* new_state) {
  std::copy(state, state + layer.v_heads * layer.state_size(), new_state);
  for (int64_t head = 0; head < layer.v_heads; ++head) {
    Head worker(layer, head);
    for (int64_t token = first; token < last; ++token) worker.take(token, new_state + head * layer.state_size());
  }
}

}  // namespace

void decode(TensorView q, TensorView k, TensorView v, TensorView state, TensorView a_log, TensorView a,
            TensorView dt_bias, TensorView b, double scale, TensorView output, TensorView new_state) {
  const Layer layer(q, k, v, a_log, a, dt_bias, b, scale, output);
  const int64_t stride = layer.v_heads * layer.state_size();
  for (int64_t n = 0; n < v.size(0); ++n)
    run_sequence(layer, n, n + 1, data<float>(state) + n * stride, data<float>(new_state) + n * stride);
}

void prefill(TensorView q, TensorView k, TensorView v, TensorView state, TensorView a_log, TensorView a,
             TensorView dt_bias, TensorView b, TensorView cu_seqlens, double scale, TensorView output,
             TensorView new_state) {
  const Layer layer(q, k, v, a_log, a, dt_bias, b, scale, output);
  const int64_t stride = layer.v_heads * layer.state_size();
  const auto* bounds = data<int64_t>(cu_seqlens);
  for (int64_t n = 0; n < new_state.size(0); ++n) {
    float* after = data<float>(new_state) + n * stride;
    if (bounds[n] == bounds[n + 1]) std::fill(after, after + stride, 0.0f);
    else run_sequence(layer, bounds[n], bounds[n + 1], data<float>(state) + n * stride, after);
  }
}

// The state after token t of a sequence is made in the buffer, from the one before it.
void mtp(TensorView q, TensorView k, TensorView v, TensorView initial_state, TensorView initial_state_indices,
         TensorView a_log, TensorView a, TensorView dt_bias, TensorView b, double scale, TensorView between,
         TensorView output, TensorView final_state) {
  const Layer layer(q, k, v, a_log, a, dt_bias, b, scale, output);
  const int64_t steps = v.size(1), stride = layer.v_heads * layer.state_size();
  const auto* initial = data<float>(initial_state);
  for (int64_t n = 0; n < v.size(0); ++n) {
    const int64_t place = data<int32_t>(initial_state_indices)[n];
    const float* before = initial + place * stride;
    for (int64_t t = 0; t < steps; ++t) {
      float* after = data<float>(between) + (place * steps + t) * stride;
      run_sequence(layer, n * steps + t, n * steps + t + 1, before, after);
      before = after;
    }
  }
  std::copy(initial, initial + initial_state.size(0) * stride, data<float>(final_state));
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(decode, decode);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(prefill, prefill);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(mtp, mtp);
