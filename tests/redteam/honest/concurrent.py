"""Threads, pools and processes that are joined, awaited or idle when the call returns."""

from __future__ import annotations

from redteam.cases import Honest

HONEST = (
    Honest(
        name="threads_joined",
        problem="project",
        source="""
            import threading, torch
            def part(x, w, b, y):
                @HONEST@
            def run(x, w, b, y):
                threads = [
                    threading.Thread(target=part, args=(x[rows], w, b, y[rows]))
                    for rows in (slice(0, 128), slice(128, None))
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            """,
    ),
    Honest(
        name="thread_pool_kept",
        problem="project",
        source="""
            from concurrent.futures import ThreadPoolExecutor
            import torch
            pool = ThreadPoolExecutor(2)
            def part(x, w, b, y):
                @HONEST@
            def run(x, w, b, y):
                list(pool.map(lambda r: part(x[r], w, b, y[r]), (slice(0, 100), slice(100, None))))
            """,
    ),
    Honest(
        name="idle_daemon_thread",
        source="""
            import threading, torch
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Honest(
        name="statistics_thread",
        source="""
            import threading, time, torch
            calls = 0
            def report():
                while True:
                    time.sleep(0.5)
                    print(calls, "calls so far")
            threading.Thread(target=report, daemon=True).start()
            def run(x, w, b, y):
                global calls
                calls += 1
                @HONEST@
            """,
    ),
    Honest(
        name="asyncio_inside",
        problem="project",
        source="""
            import asyncio, torch
            async def part(x, w, b, y):
                @HONEST@
            async def parts(x, w, b, y):
                await asyncio.gather(part(x[:128], w, b, y[:128]), part(x[128:], w, b, y[128:]))
            def run(x, w, b, y):
                asyncio.run(parts(x, w, b, y))
            """,
    ),
    Honest(
        name="program_asked_on_first_call",
        source="""
            import functools, subprocess, torch
            @functools.cache
            def capable():
                return subprocess.run(["true"], check=False).returncode == 0
            def run(x, w, b, y):
                capable()
                @HONEST@
            """,
    ),
    Honest(
        name="torch_threads_set",
        problem="project",
        source="""
            import torch
            torch.set_num_threads(1)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
)
