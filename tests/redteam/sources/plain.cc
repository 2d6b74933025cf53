#include "kernel.h"

EXPORT int __tvm_ffi_run(void*, const TVMFFIAny* arguments, int32_t, TVMFFIAny*) {
  compute(call_of(arguments));
  return 0;
}
