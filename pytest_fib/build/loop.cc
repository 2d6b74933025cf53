// The wait for "go", the calls and "done" of one request after another, see loop.py. Like every plain function of
// TVM-FFI's interface these need no templates, and compile in a moment beside the solution whose library they are
// part of.
#include <tvm/ffi/c_api.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

namespace {
using Word = std::atomic<uint64_t>;  // of a page that judge and candidate share
TVMFFIObjectHandle entry;
Word *go, *first, *count, *ready, *beat, *done;
std::vector<std::vector<TVMFFIAny>> calls;  // arguments of each set; Python keeps what they refer to

Word* word(const TVMFFIAny& address) { return reinterpret_cast<Word*>(address.v_int64); }

// A plain function may return that it failed without having said why, which TVM-FFI's caller does not survive.
int explained(int failed) {
  if (failed == -2) return failed;  // the error is an exception of the interpreter's
  TVMFFIObjectHandle error = nullptr;
  TVMFFIErrorMoveFromRaised(&error);
  if (error != nullptr) {
    TVMFFIErrorSetRaised(error);
    TVMFFIObjectDecRef(error);
  } else {
    const std::string text = "the entry point returned " + std::to_string(failed) +
                             ", which means an error, without setting one: call TVMFFIErrorSetRaisedFromCStr before";
    TVMFFIErrorSetRaisedFromCStr("RuntimeError", text.c_str());
  }
  return failed;
}

int one(uint64_t sequence) {
  ready->store(sequence, std::memory_order_relaxed);
  uint64_t awake = beat->load(std::memory_order_relaxed);
  while (go->load(std::memory_order_acquire) != sequence) {
    beat->store(++awake, std::memory_order_relaxed);  // the judge sees that this process is awake again
  }
  std::vector<TVMFFIAny>* call = &calls[first->load(std::memory_order_relaxed)];
  for (uint64_t left = count->load(std::memory_order_relaxed); left > 0; --left, ++call) {
    TVMFFIAny result{};
    const int failed = TVMFFIFunctionCall(entry, call->data(), static_cast<int32_t>(call->size()), &result);
    if (failed) return explained(failed);
    if (result.type_index >= kTVMFFIStaticObjectBegin) TVMFFIObjectDecRef(result.v_obj);
  }
  done->store(sequence, std::memory_order_release);
  return 0;
}
}  // namespace

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_pytest_fib_loop_begin(void*, const TVMFFIAny* arguments, int32_t, TVMFFIAny*) {
  entry = arguments[0].v_obj;
  go = word(arguments[1]);
  first = word(arguments[2]);
  count = word(arguments[3]);
  ready = word(arguments[4]);
  beat = word(arguments[5]);
  done = word(arguments[6]);
  calls.clear();
  return 0;
}

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_pytest_fib_loop_add(void*, const TVMFFIAny* arguments, int32_t size, TVMFFIAny*) {
  calls.emplace_back(arguments, arguments + size);
  return 0;
}

extern "C" TVM_FFI_DLL_EXPORT int __tvm_ffi_pytest_fib_loop_serve(void*, const TVMFFIAny* arguments, int32_t, TVMFFIAny*) {
  const uint64_t sequence = arguments[0].v_int64, requests = arguments[1].v_int64;
  for (uint64_t served = 0; served < requests; ++served) {
    const int failed = one(sequence + served);
    if (failed) return failed;
  }
  return 0;
}
