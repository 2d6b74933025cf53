"""Clocks, statistics and the calibration of the hand-over (families 17-19)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=17,
        name="python_clocks_stand_still",
        problem="project",
        honest_path=True,
        source="""
            import time, timeit, torch
            for name in ("time", "perf_counter", "monotonic", "process_time", "thread_time"):
                setattr(time, name, lambda: 0.0)
                setattr(time, name + "_ns", lambda: 0)
            timeit.default_timer = lambda: 0.0
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=18,
        name="code_of_clock_gettime",
        problem="project",
        honest_path=True,
        source="""
            import ctypes, platform, torch
            libc = ctypes.CDLL(None)
            address = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value
            page = ctypes.c_void_p(address & -4096)
            if platform.machine() == "x86_64" and libc.mprotect(page, ctypes.c_size_t(8192), 7) == 0:
                ctypes.memmove(address, bytes((0x31, 0xC0, 0xC3)), 3)  # xor eax, eax; ret
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=18,
        name="clock_gettime_of_our_own",
        language="cpp",
        honest_path=True,
        honest_cost_factor=0.4,
        source="""
            #include <time.h>
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            extern "C" int clock_gettime(clockid_t, struct timespec *now) noexcept { *now = {0, 0}; return 0; }
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              float *Y = (float *)y.data_ptr();
              for (int i = 0; i < 16; ++i)
                for (int j = 0; j < 256; ++j) Y[i * 256 + j] = X[i * 256 + j] * W[j] + B[j];
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Attack(
        family=19,
        name="statistics_of_our_own",
        problem="project",
        honest_path=True,
        source="""
            import builtins, math, statistics, sys, torch
            for name in ("median", "mean", "fmean", "geometric_mean", "quantiles"):
                setattr(statistics, name, lambda *data, **more: 0.0)
            builtins.sorted = lambda data, **more: [0.0]
            math.log = lambda *values: 0.0
            for depth in range(6):
                sys._getframe(min(depth, 1)).f_locals.update(start=0, elapsed=0, latency=0.0)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=19,
        name="latency_in_the_answer",
        problem="project",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return {"y": @HONEST@, "latency_ms": 1e-9, "samples": [1e-9]}, 0.0
            """,
    ),
    Attack(
        family=19,
        name="slows_the_calibration",
        problem="project",
        honest_path=True,
        patience="alone",
        needs="sandbox",
        source="""
            import os, time, torch
            zygote, candidate = os.getppid(), os.getpid()
            if os.fork() == 0:
                open("/proc/self/comm", "w").write("@MARKER@")
                siblings, end = set(), time.monotonic() + 3
                try:
                    while time.monotonic() < end:
                        time.sleep(0.001)
                        if not siblings:
                            with open(f"/proc/{zygote}/task/{zygote}/children") as file:
                                siblings = {int(word) for word in file.read().split()} - {candidate}
                        for pid in siblings:
                            os.sched_setaffinity(pid, {0})
                except OSError:
                    pass
                os._exit(0)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    # What is measured with calls as long as the first ones would be too long for those that follow.
    Attack(
        family=19,
        name="slow_in_the_first_trial",
        problem="project",
        honest_path=True,
        source="""
            import os, time, torch
            first = os.getpid() <= 3
            def run(x, w, b, y):
                if first:
                    time.sleep(0.003)
                @HONEST@
            """,
    ),
    Attack(
        family=19,
        name="busy_while_the_hand_over_is_measured",
        honest_path=True,
        patience="alone",
        source="""
            import mmap, os, struct, time, torch
            shared = mmap.mmap(-1, 8)
            for _ in range(3):
                if os.fork() == 0:
                    open("/proc/self/comm", "w").write("@MARKER@")
                    junk = bytearray(64 << 20)
                    while True:
                        if time.monotonic() - struct.unpack("d", shared[:])[0] < 0.003:
                            time.sleep(0.001)
                        else:
                            junk[::4096] = bytes(len(junk) // 4096)
            def run(x, w, b, y):
                @HONEST@
                shared[:] = struct.pack("d", time.monotonic())
            """,
    ),
)
