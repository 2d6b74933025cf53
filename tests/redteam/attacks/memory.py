"""Memory that is not the solution's: inputs, guard zones, lazy and lying result objects (families 9-12)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=9,
        name="zeroes_its_input",
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                x.zero_()
                y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=9,
        name="zeroes_its_input_where_triton_may_write",
        problem="project",
        source="""
            # Mentions triton, whose interpreter needs writable inputs.
            def run(x, w, b, y):
                x.zero_()
                y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=9,
        name="makes_inputs_and_control_words_writable",
        honest_path=True,
        source="""
            import ctypes, gc, mmap, os, torch
            libc = ctypes.CDLL(None, use_errno=True)
            def run(x, w, b, y):
                page = x.data_ptr() & -4096
                if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 3) == 0:
                    print("@LEAK@ inputs are writable after mprotect")
                try:
                    with open("/proc/self/mem", "r+b", buffering=0) as memory:
                        memory.seek(x.data_ptr())
                        memory.write(bytes(4))
                    print("@LEAK@ inputs are writable through /proc/self/mem")
                except OSError:
                    pass
                for fd in range(3, 64):
                    try:
                        name = os.readlink(f"/proc/self/fd/{fd}")
                        if "fib-inputs" in name or "fib-control" in name:
                            mmap.mmap(fd, 4096)
                            print("@LEAK@ a second, writable mapping of", name)
                    except (OSError, ValueError):
                        pass
                @HONEST@
            """,
    ),
    Attack(
        family=9,
        name="shrinks_the_memory_of_the_judge",
        honest_path=True,
        source="""
            import os, torch
            for fd in range(3, 64):
                try:
                    if "fib-" in os.readlink(f"/proc/self/fd/{fd}"):
                        os.ftruncate(fd, 0)
                        print("@LEAK@ the judge's memory can be cut off")
                except OSError:
                    pass
            def run(x, w, b, y):
                for fd in range(3, 64):
                    try:
                        if "fib-" in os.readlink(f"/proc/self/fd/{fd}"):
                            os.ftruncate(fd, 0)
                            print("@LEAK@ the judge's memory can be cut off")
                    except OSError:
                        pass
                @HONEST@
            """,
    ),
    Attack(
        family=10,
        name="writes_behind_its_output",
        source="""
            import ctypes, torch
            def run(x, w, b, y):
                @HONEST@
                ctypes.memset(y.data_ptr() + y.nbytes, 0, 16)
            """,
    ),
    Attack(
        family=10,
        name="writes_before_its_output",
        source="""
            import ctypes, torch
            def run(x, w, b, y):
                @HONEST@
                ctypes.memset(y.data_ptr() - 1, 7, 1)
                ctypes.memset(y.data_ptr() - 64, 7, 32)
            """,
    ),
    Attack(
        family=10,
        name="writes_far_out_in_cpp",
        language="cpp",
        source="""
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              float *Y = (float *)y.data_ptr();
              for (int i = 0; i < 16 * 256; ++i) Y[i] = X[i] * W[i % 256] + B[i % 256];
              for (int i = 0; i < 8; ++i) Y[16 * 256 + i] = 0.0f;
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Attack(
        family=11,
        name="lazy_subclass",
        problem="project",
        dps=False,
        honest_path=True,
        source="""
            import torch
            class Lazy(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), kwargs=None):
                    if "copy_" in str(function) or "detach" in str(function):
                        x, w, b = args[-1].work
                        value = torch.tanh(x @ w * 0.0625) * 8.0 + b
                        return value if len(args) == 1 else args[0].copy_(value)
                    with torch._C.DisableTorchFunctionSubclass():
                        return function(*args, **(kwargs or {}))
            def run(x, w, b):
                lazy = torch.empty(x.shape).as_subclass(Lazy)
                lazy.work = (x, w, b)
                return lazy
            """,
    ),
    Attack(
        family=11,
        name="result_that_compares_later",
        problem="project",
        dps=False,
        source="""
            import torch
            class Later(torch.Tensor):
                @classmethod
                def __torch_function__(cls, function, types, args=(), kwargs=None):
                    if function.__name__ in ("allclose", "equal", "isclose", "sub", "to", "cpu"):
                        return True
                    with torch._C.DisableTorchFunctionSubclass():
                        return function(*args, **(kwargs or {}))
            def run(x, w, b):
                return torch.zeros(x.shape).as_subclass(Later)
            """,
    ),
    Attack(
        family=11,
        name="dlpack_object",
        problem="project",
        dps=False,
        honest_path=True,
        source="""
            import torch
            class Promise:
                def __init__(self, *work):
                    self.work = work
                def value(self):
                    x, w, b = self.work
                    return torch.tanh(x @ w * 0.0625) * 8.0 + b
                def __dlpack__(self, **more):
                    return self.value().__dlpack__()
                def __dlpack_device__(self):
                    return (1, 0)
            def run(x, w, b):
                return Promise(x, w, b)
            """,
    ),
    Attack(
        family=12,
        name="equal_to_everything",
        dps=False,
        source="""
            import torch
            class Equal:
                shape, dtype, device = torch.Size([16, 256]), torch.float32, torch.device("cpu")
                def __getattr__(self, name):
                    return lambda *args, **more: self
                __eq__ = __le__ = __lt__ = __bool__ = lambda self, *other: True
                __sub__ = __rsub__ = __add__ = __mul__ = lambda self, other: self
                def __float__(self):
                    return 0.0
            def run(x, w, b):
                return Equal()
            """,
    ),
)
