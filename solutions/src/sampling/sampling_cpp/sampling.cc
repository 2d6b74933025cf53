// Sampling from probabilities cut off by top-k, top-p or both: only as much of a row is sorted as may be drawn.

#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

using tvm::ffi::TensorView;

namespace {

// Tokens of one row, the most probable first; sorted in pieces, as far as somebody asks.
class Ranking {
 public:
  Ranking(const float* probs, int64_t size) : probs_(probs), order_(size) {
    std::iota(order_.begin(), order_.end(), 0);
  }

  int64_t size() const { return static_cast<int64_t>(order_.size()); }

  int64_t token(int64_t rank) {
    while (rank >= sorted_) sort_more();
    return order_[rank];
  }

  float prob(int64_t rank) { return probs_[token(rank)]; }

 private:
  void sort_more() {
    const int64_t end = std::min<int64_t>(size(), std::max<int64_t>(128, 4 * sorted_));
    std::partial_sort(order_.begin() + sorted_, order_.begin() + end, order_.end(), [this](int64_t a, int64_t b) {
      return probs_[a] != probs_[b] ? probs_[a] > probs_[b] : a < b;
    });
    sorted_ = end;
  }

  const float* probs_;
  std::vector<int64_t> order_;
  int64_t sorted_ = 0;
};

struct Limits {
  const int32_t* top_k;  // null: no limit
  const float* top_p;
};

double uniform() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

int64_t draw(Ranking row, Limits limits) {
  const bool limited = limits.top_k && *limits.top_k > 0 && *limits.top_k < row.size();
  const int64_t most = limited ? *limits.top_k : row.size();
  double total = 1;  // of the tokens that top-k leaves; top-p is a share of it
  if (limited) {
    total = 0;
    for (int64_t rank = 0; rank < most; ++rank) total += row.prob(rank);
  }
  std::vector<double> sums;
  const double share = limits.top_p && *limits.top_p < 1 ? *limits.top_p * total : 2;
  for (int64_t rank = 0; rank < most; ++rank) {
    sums.push_back((sums.empty() ? 0 : sums.back()) + row.prob(rank));
    if (sums.back() > share) break;
  }
  const auto hit = std::upper_bound(sums.begin(), sums.end(), uniform() * sums.back());
  return row.token(std::min<int64_t>(hit - sums.begin(), sums.size() - 1));
}

void sample(TensorView probs, const int32_t* top_k, const float* top_p, TensorView samples) {
  const int64_t size = probs.size(1);
  const auto* rows = static_cast<const float*>(probs.data_ptr());
  auto* out = static_cast<int64_t*>(samples.data_ptr());
  for (int64_t b = 0; b < probs.size(0); ++b)
    out[b] = draw(Ranking(rows + b * size, size), {top_k ? top_k + b : nullptr, top_p ? top_p + b : nullptr});
}

}  // namespace

void top_k_sampling(TensorView probs, TensorView top_k, TensorView samples) {
  sample(probs, static_cast<const int32_t*>(top_k.data_ptr()), nullptr, samples);
}

void top_p_sampling(TensorView probs, TensorView top_p, TensorView samples) {
  sample(probs, nullptr, static_cast<const float*>(top_p.data_ptr()), samples);
}

void top_k_top_p_sampling(TensorView probs, TensorView top_k, TensorView top_p, TensorView samples) {
  sample(probs, static_cast<const int32_t*>(top_k.data_ptr()), static_cast<const float*>(top_p.data_ptr()), samples);
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(top_k_sampling, top_k_sampling);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(top_p_sampling, top_p_sampling);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(top_k_top_p_sampling, top_k_top_p_sampling);
