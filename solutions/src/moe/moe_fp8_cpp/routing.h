// DeepSeek-V3 routing: 8 of 256 experts for each token, out of the 4 best of 8 groups.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "largest.h"
#include "narrow_floats.h"

constexpr int kGroups = 8, kKeptGroups = 4, kChosen = 8;

struct Choice {
  std::array<int64_t, kChosen> experts;
  std::array<float, kChosen> weights;
};

// Groups are ranked by the sum of their two largest biased scores, experts of the kept groups by the biased
// score; the weights are the scores without bias, normalised to sum to `factor`.
inline Choice route(const float* logits, const BFloat16* bias, int64_t experts, float factor) {
  const int64_t size = experts / kGroups;
  std::vector<float> scores(experts), biased(experts), group_scores(kGroups), allowed(experts, -INFINITY);
  for (int64_t e = 0; e < experts; ++e) {
    scores[e] = 1 / (1 + std::exp(-logits[e]));
    biased[e] = scores[e] + bias[e];
  }
  for (int64_t g = 0; g < kGroups; ++g) {
    const std::vector<float> members(biased.begin() + g * size, biased.begin() + (g + 1) * size);
    const auto best = largest(members, 2);
    group_scores[g] = members[best[0]] + members[best[1]];
  }
  for (int64_t g : largest(group_scores, kKeptGroups))
    std::copy_n(biased.begin() + g * size, size, allowed.begin() + g * size);

  Choice choice;
  const auto chosen = largest(allowed, kChosen);
  float total = 0;
  for (int64_t e : chosen) total += scores[e];
  for (int i = 0; i < kChosen; ++i) {
    choice.experts[i] = chosen[i];
    choice.weights[i] = scores[chosen[i]] / (total + 1e-20f) * factor;
  }
  return choice;
}
