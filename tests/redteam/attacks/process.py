"""Exits, signals, exhaustion, interpreter state and sabotage (families 33, 34, 36, 37)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=33,
        name="leaves_without_a_word",
        source="""
            import os
            def run(x, w, b, y):
                os._exit(0)
            """,
    ),
    Attack(
        family=33,
        name="leaves_politely",
        source="""
            def run(x, w, b, y):
                raise SystemExit(0)
            """,
    ),
    Attack(
        family=33,
        name="interrupts",
        source="""
            import os, signal
            def run(x, w, b, y):
                os.kill(os.getpid(), signal.SIGINT)
                raise KeyboardInterrupt
            """,
    ),
    Attack(
        family=33,
        name="reads_address_zero",
        source="""
            import ctypes
            def run(x, w, b, y):
                ctypes.string_at(0)
            """,
    ),
    Attack(
        family=33,
        name="stops_itself",
        patience="short",
        source="""
            import os, signal
            def run(x, w, b, y):
                os.kill(os.getpid(), signal.SIGSTOP)
            """,
    ),
    Attack(
        family=33,
        name="ignores_signals_and_sleeps",
        patience="short",
        source="""
            import signal, time
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
                signal.signal(number, signal.SIG_IGN)
            def run(x, w, b, y):
                while True:
                    time.sleep(60)
            """,
    ),
    Attack(
        family=33,
        name="holds_the_interpreter_lock",
        patience="short",
        source="""
            import ctypes
            def run(x, w, b, y):
                ctypes.PyDLL(None).sleep(1000)
            """,
    ),
    Attack(
        family=34,
        name="prints_without_end",
        patience="short",
        source="""
            import os
            def run(x, w, b, y):
                while True:
                    os.write(1, b"x" * (1 << 20))
            """,
    ),
    Attack(
        family=34,
        name="many_print_without_end",
        patience="short",
        source="""
            import os, time
            def run(x, w, b, y):
                for _ in range(4):
                    if os.fork() == 0:
                        open("/proc/self/comm", "w").write("@MARKER@")
                        end = time.monotonic() + 15
                        while time.monotonic() < end:
                            os.write(1, b"x" * (1 << 20))
                        os._exit(0)
                time.sleep(1000)
            """,
        wall_s=8.0,
    ),
    Attack(
        family=34,
        name="orphans",
        problem="project",
        honest_path=True,
        source="""
            import subprocess, os, torch
            for _ in range(3):
                subprocess.Popen(["setsid", "sh", "-c", "sleep 100; : @MARKER@"], start_new_session=True)
            if os.fork() == 0:
                open("/proc/self/comm", "w").write("@MARKER@")
                os.setsid()
                if os.fork() == 0:
                    open("/proc/self/comm", "w").write("@MARKER@")
                    import time
                    time.sleep(100)
                os._exit(0)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=34,
        name="a_hundred_forks",
        problem="project",
        honest_path=True,
        source="""
            import os, time, torch
            for _ in range(100):
                if os.fork() == 0:
                    open("/proc/self/comm", "w").write("@MARKER@")
                    time.sleep(100)
                    os._exit(0)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=34,
        name="fork_and_exit_chain",
        problem="project",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, time, torch
            if os.fork() == 0:
                open("/proc/self/comm", "w").write("@MARKER@")
                os.setsid()
                end = time.monotonic() + 20
                while time.monotonic() < end:
                    if os.fork():
                        os._exit(0)
                os._exit(0)
            def run(x, w, b, y):
                @HONEST@
            """,
        wall_s=10.0,
    ),
    Attack(
        family=34,
        name="eats_memory",
        source="""
            def run(x, w, b, y):
                eaten = []
                while True:
                    eaten.append(bytes(1 << 28))
            """,
    ),
    Attack(
        family=34,
        name="recursion_without_end",
        patience="short",
        source="""
            import sys
            sys.setrecursionlimit(10**9)
            def run(x, w, b, y):
                run(x, w, b, y)
            """,
    ),
    Attack(
        family=34,
        name="descriptors_and_threads",
        honest_path=True,
        source="""
            import os, threading, torch
            kept = []
            try:
                while len(kept) < 100_000:
                    kept.append(os.memfd_create("more"))
            except OSError:
                pass
            stop = threading.Event()
            for _ in range(300):
                threading.Thread(target=stop.wait, daemon=True).start()
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=36,
        name="rounding_mode_and_denormals",
        honest_path=True,
        source="""
            import ctypes, torch
            ctypes.CDLL("libm.so.6").fesetround(0x800)
            torch.set_flush_denormal(True)
            torch.set_default_dtype(torch.float64)
            torch.use_deterministic_algorithms(True)
            torch.set_float32_matmul_precision("medium")
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=36,
        name="interpreter_upside_down",
        honest_path=True,
        source="""
            import gc, os, sys, torch
            gc.disable()
            sys.setswitchinterval(1e-6)
            sys.settrace(lambda *event: None)
            sys.modules["torch"] = sys.modules["socket"] = None
            os.environ.clear()
            os.chdir("/")
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="busy_processes_left_behind",
        problem="project",
        honest_path=True,
        source="""
            import os, torch
            for _ in range(4):
                if os.fork() == 0:
                    open("/proc/self/comm", "w").write("@MARKER@")
                    os.setsid()
                    while True:
                        pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="takes_the_judges_core",
        problem="project",
        honest_path=True,
        source="""
            import os, threading, torch
            os.sched_setaffinity(0, range(os.cpu_count()))
            try:
                os.nice(-20)
            except OSError:
                pass
            if os.fork() == 0:
                open("/proc/self/comm", "w").write("@MARKER@")
                os.sched_setaffinity(0, {0})
                while True:
                    pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="limits_and_priorities_of_the_judge",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, resource, torch
            for pid in (@JUDGE@, os.getppid(), @PID@):
                for attempt in (
                    lambda: os.kill(pid, 0),
                    lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE),
                    lambda: os.sched_getaffinity(pid) if pid else None,
                    lambda: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
                ):
                    try:
                        if pid > 1:
                            attempt()
                            print("@LEAK@ power over process", pid)
                    except OSError:
                        pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="attacks_whoever_started_it",
        problem="project",
        honest_path=True,
        needs="sandbox",
        source="""
            import ctypes, os, resource, signal, torch
            parent, libc = os.getppid(), ctypes.CDLL(None)
            for attempt in (
                lambda: os.kill(parent, signal.SIGKILL),
                lambda: os.kill(parent, signal.SIGSTOP),
                lambda: os.sched_setaffinity(parent, {0}),
                lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, 3)),
                lambda: os.setpriority(os.PRIO_PROCESS, parent, 19),
                lambda: open(f"/proc/{parent}/mem", "r+b", buffering=0).write(bytes(8)),
                lambda: libc.ptrace(0x4206, parent, None, None),
            ):
                try:
                    attempt()
                except OSError:
                    pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="holds_the_machine_lock",
        honest_path=True,
        needs="sandbox",
        source="""
            import fcntl, glob, os, torch
            for path in glob.glob("/tmp/pytest-fib*.lock"):
                fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
)
