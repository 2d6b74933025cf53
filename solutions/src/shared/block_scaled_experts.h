// The experts of a mixture with block-scaled float8 weights, float inside, whatever the routing.
//
// Tokens are grouped by local expert, so that each weight row is decoded once per call and only where needed.
#pragma once

#include <tvm/ffi/container/tensor.h>

#include <cmath>
#include <vector>

#include "vector_loops.h"

constexpr int64_t kBlock = 128;

struct Assignment {
  int64_t token;
  float weight;
};

// For each local expert the tokens that chose it.
using Assigned = std::vector<std::vector<Assignment>>;

// A float8 matrix [rows, columns] with one scale per 128 by 128 block.
struct BlockScaled {
  const uint8_t* codes;
  const float* scales;
  int64_t columns;

  BlockScaled(tvm::ffi::TensorView weights, tvm::ffi::TensorView scale, int64_t expert)
      : codes(static_cast<const uint8_t*>(weights.data_ptr()) + expert * weights.size(1) * weights.size(2)),
        scales(static_cast<const float*>(scale.data_ptr()) + expert * scale.size(1) * scale.size(2)),
        columns(weights.size(2)) {}

  void decode_row(int64_t row, float* target) const {
    const auto& values = float8_values();
    const float* scale = scales + row / kBlock * (columns / kBlock);
    for (int64_t block = 0; block < columns / kBlock; ++block)
      for (int64_t i = block * kBlock; i < (block + 1) * kBlock; ++i)
        target[i] = values[codes[row * columns + i]] * scale[block];
  }
};

inline float silu(float x) { return x / (1 + std::exp(-x)); }

// The scales of activations are stored transposed: scales[hidden / 128][tokens].
inline std::vector<float> decode_tokens(tvm::ffi::TensorView hidden, tvm::ffi::TensorView scale,
                                        const std::vector<Assignment>& assigned) {
  const auto& values = float8_values();
  const int64_t tokens = hidden.size(0), width = hidden.size(1);
  const auto* codes = static_cast<const uint8_t*>(hidden.data_ptr());
  const auto* scales = static_cast<const float*>(scale.data_ptr());
  std::vector<float> rows(assigned.size() * width);
  for (size_t n = 0; n < assigned.size(); ++n) {
    const int64_t token = assigned[n].token;
    for (int64_t i = 0; i < width; ++i)
      rows[n * width + i] = values[codes[token * width + i]] * scales[i / kBlock * tokens + token];
  }
  return rows;
}

inline void run_experts(const Assigned& assigned, tvm::ffi::TensorView hidden_states,
                        tvm::ffi::TensorView hidden_states_scale, tvm::ffi::TensorView gemm1_weights,
                        tvm::ffi::TensorView gemm1_weights_scale, tvm::ffi::TensorView gemm2_weights,
                        tvm::ffi::TensorView gemm2_weights_scale, tvm::ffi::TensorView output) {
  const int64_t inner = gemm1_weights.size(1) / 2;
  const int64_t tokens = hidden_states.size(0), width = hidden_states.size(1);
  std::vector<float> total(tokens * width), up_row(width), gate_row(width), down_row(inner);

  for (size_t e = 0; e < assigned.size(); ++e) {
    const auto& mine = assigned[e];
    if (mine.empty()) continue;
    const auto x = decode_tokens(hidden_states, hidden_states_scale, mine);
    const BlockScaled first(gemm1_weights, gemm1_weights_scale, e), second(gemm2_weights, gemm2_weights_scale, e);
    std::vector<float> activated(mine.size() * inner);
    for (int64_t i = 0; i < inner; ++i) {
      first.decode_row(i, up_row.data());
      first.decode_row(inner + i, gate_row.data());
      for (size_t n = 0; n < mine.size(); ++n) {
        const float* row = &x[n * width];
        activated[n * inner + i] = silu(dot(gate_row.data(), row, width)) * dot(up_row.data(), row, width);
      }
    }
    for (int64_t i = 0; i < width; ++i) {
      second.decode_row(i, down_row.data());
      for (size_t n = 0; n < mine.size(); ++n)
        total[mine[n].token * width + i] += mine[n].weight * dot(down_row.data(), &activated[n * inner], inner);
    }
  }
  narrow(total.data(), static_cast<BFloat16*>(output.data_ptr()), tokens * width);
}
