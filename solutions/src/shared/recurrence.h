// What kernels of recurrent layers share: tensors as plain arrays, and the function that makes step sizes positive.
#pragma once

#include <tvm/ffi/container/tensor.h>

#include <cmath>

template <typename T>
inline T* data(tvm::ffi::TensorView tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

inline float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }
