"""Saying "done" before it is: threads, pools, signals, collectors, children (families 13-15)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=13,
        name="thread_finishes_later",
        problem="project",
        source="""
            import threading, torch
            def work(x, w, b, y):
                @HONEST@
            def run(x, w, b, y):
                threading.Thread(target=work, args=(x, w, b, y)).start()
            """,
    ),
    Attack(
        family=13,
        name="thread_writes_the_rest",
        problem="project",
        source="""
            import threading, torch
            def rest(x, w, b, y):
                y[128:] = torch.tanh(x[128:] @ w * 0.0625) * 8.0 + b
            def run(x, w, b, y):
                y[:128] = torch.tanh(x[:128] @ w * 0.0625) * 8.0 + b
                threading.Thread(target=rest, args=(x, w, b, y)).start()
            """,
    ),
    Attack(
        family=13,
        name="pool_is_not_awaited",
        problem="project",
        source="""
            from concurrent.futures import ThreadPoolExecutor
            import torch
            pool = ThreadPoolExecutor(1)
            pool.submit(int).result()
            def work(x, w, b, y):
                @HONEST@
            def run(x, w, b, y):
                pool.submit(work, x, w, b, y)
            """,
    ),
    Attack(
        family=13,
        name="detached_thread_in_cpp",
        language="cpp",
        source="""
            #include <thread>
            #include <tvm/ffi/container/tensor.h>
            #include <tvm/ffi/function.h>
            using tvm::ffi::TensorView;
            void Run(TensorView x, TensorView w, TensorView b, TensorView y) {
              float *X = (float *)x.data_ptr(), *W = (float *)w.data_ptr(), *B = (float *)b.data_ptr();
              float *Y = (float *)y.data_ptr();
              std::thread([=] {
                for (int i = 0; i < 16 * 256; ++i) Y[i] = X[i] * W[i % 256] + B[i % 256];
              }).detach();
            }
            TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, Run);
            """,
    ),
    Attack(
        family=13,
        name="finished_by_the_next_call",
        problem="project",
        source="""
            import torch
            waiting = []
            def run(*tensors):
                for x, w, b, y in waiting:
                    @HONEST@
                waiting[:] = [tensors]
            """,
    ),
    Attack(
        family=14,
        name="signal_timer",
        problem="project",
        source="""
            import signal, torch
            waiting = []
            def finish(*_):
                for x, w, b, y in waiting:
                    @HONEST@
            signal.signal(signal.SIGALRM, finish)
            def run(x, w, b, y):
                waiting[:] = [(x, w, b, y)]
                signal.setitimer(signal.ITIMER_REAL, 2e-5)
            """,
    ),
    Attack(
        family=14,
        name="profile_hook",
        problem="project",
        says="reached",
        source="""
            import sys, torch
            waiting, told = [], []
            def hook(frame, event, argument):
                if event == "return" and frame.f_code.co_name == "_timed_request" and waiting:
                    x, w, b, y = waiting.pop()
                    told or told.append(print("reached", flush=True))
                    @HONEST@
            def run(x, w, b, y):
                sys.setprofile(hook)
                waiting[:] = [(x, w, b, y)]
            """,
    ),
    Attack(
        family=14,
        name="collector_callback",
        problem="project",
        source="""
            import gc, torch
            waiting = []
            def finish(phase, info):
                for x, w, b, y in waiting:
                    @HONEST@
                waiting.clear()
            gc.callbacks.append(finish)
            gc.set_threshold(1)
            def run(x, w, b, y):
                waiting[:] = [(x, w, b, y)]
            """,
    ),
    Attack(
        family=15,
        name="child_finishes_later",
        problem="project",
        source="""
            import os, torch
            def run(x, w, b, y):
                if os.fork() == 0:
                    @HONEST@
                    os._exit(0)
            """,
    ),
    Attack(
        family=15,
        name="child_does_the_work",
        problem="project",
        honest_path=True,
        source="""
            import os, torch
            def run(x, w, b, y):
                child = os.fork()
                if child == 0:
                    @HONEST@
                    os._exit(0)
                os.waitpid(child, 0)
            """,
    ),
)
