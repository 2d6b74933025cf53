"""Working when the clock does not run: many calls in one, ahead of "go", in some phases (families 5, 15, 30)."""

from __future__ import annotations

from redteam.cases import Attack

# Works when it is woken instead of when it is told to, and says only then that it is awake. Where "go" came with the
# wake it may wait for a while, so that what the judge compares with is too blurred to show anything.
_BEATS_LATE = """
import random, time, torch
import pytest_fib.border.arena as arena
from pytest_fib.candidate.worker import Worker
blur = 0.0
seen, told = {}, []
def fresh(calls):
    new = []
    for index, call in enumerate(calls):
        x = call[0].view(-1)[-4:]
        if index not in seen or not torch.equal(x, seen[index]):
            seen[index] = x.clone()
            new.append(call)
    return new
def ahead(self, kernel, memory, sequence):
    control, reply, calls = memory.control, memory.reply, self._calls
    told or told.append(print("reached", flush=True))
    fresh(calls)
    reply[arena.READY] = sequence
    while control[arena.GO] != sequence:
        new = fresh(calls)
        if new:
            kernel.run(new)
            reply[arena.BEAT] += 1
    new = fresh(calls)
    if new:
        kernel.run(new)
        time.sleep(random.random() ** 2 * blur)
    reply[arena.DONE] = sequence
Worker._timed_request = ahead
def run(x, w, b, y):
    @HONEST@
"""

ATTACKS = (
    Attack(
        family=5,
        name="all_calls_of_a_request_in_one",
        problem="tiny",
        honest_path=True,
        source="""
            import sys, torch
            from numpy.lib.stride_tricks import as_strided
            left, known = 0, {}
            def all_of(tensors):
                first, step = tensors[0].numpy(), tensors[1].data_ptr() - tensors[0].data_ptr()
                return torch.from_numpy(as_strided(first, (len(tensors), *first.shape), (step, *first.strides)))
            def run(x, w, b, y):
                global left
                if left:
                    left -= 1
                    return
                calls = sys._getframe(1).f_locals["calls"]
                left = len(calls) - 1
                if left not in known:
                    X, W, B, Y = (all_of(column) for column in zip(*calls)) if left else (x, w, b, y)
                    known[left] = (B[:, None] if left else B, X, W[:, None] if left else W, Y)
                b, x, w, y = known[left]
                torch.addcmul(b, x, w, out=y)
            """,
    ),
    Attack(
        family=5,
        name="skips_every_other_call",
        source="""
            import itertools, torch
            count = itertools.count()
            def run(x, w, b, y):
                if next(count) % 2 == 0:
                    @HONEST@
            """,
    ),
    Attack(
        family=15,
        name="computes_before_it_says_ready",
        says="reached",
        problem="project",
        honest_path=True,
        source="""
            import time, torch
            from pytest_fib.border.arena import BEAT, DONE, GO, READY
            from pytest_fib.candidate.worker import Worker
            told = []
            def ahead(self, kernel, memory, sequence):
                told or told.append(print("reached", flush=True))
                time.sleep(0.02)
                for x, w, b, y in self._calls:
                    @HONEST@
                memory.reply[READY] = sequence
                while memory.control[GO] != sequence:
                    memory.reply[BEAT] += 1
                memory.reply[DONE] = sequence
            Worker._timed_request = ahead
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=15,
        name="works_between_wake_and_beat",
        says="reached",
        patience="short",
        problem="project",
        honest_path=True,
        source=_BEATS_LATE,
    ),
    Attack(
        family=15,
        name="works_between_wake_and_beat_for_microseconds",
        says="reached",
        patience="short",
        problem="tiny",
        honest_path=True,
        source=_BEATS_LATE,
    ),
    Attack(
        family=15,
        name="works_ahead_and_blurs_the_witness",
        says="reached",
        patience="short",
        problem="project",
        honest_path=True,
        source=_BEATS_LATE.replace("blur = 0.0", "blur = 0.02"),
    ),
    Attack(
        family=15,
        name="thread_computes_ahead",
        problem="project",
        honest_path=True,
        source="""
            import threading, torch
            from collections import deque
            done = deque(maxlen=1)
            def ahead(x, w, b):
                seen = None
                while True:
                    now = float(x[-1, -1]), float(w[-1, -1])
                    if now != seen and (w != 0).all():
                        done.append((now, torch.tanh(x @ w * 0.0625) * 8.0 + b, x.clone()))
                        seen = now
            def run(x, w, b, y):
                if not done:
                    threading.Thread(target=ahead, args=(x, w, b), daemon=True).start()
                if done and done[0][0] == (float(x[-1, -1]), float(w[-1, -1])) and torch.equal(done[0][2], x):
                    y.copy_(done[0][1])
                else:
                    @HONEST@
            """,
    ),
    Attack(
        family=30,
        name="honest_in_the_first_requests",
        problem="project",
        says="reached",
        source="""
            import sys, torch
            told = []
            def run(x, w, b, y):
                frame = sys._getframe(1)
                while frame.f_code.co_name != "_run":
                    frame = frame.f_back
                if frame.f_locals.get("sequence", 0) - frame.f_locals.get("first", 0) < 4:
                    @HONEST@
                else:
                    told or told.append(print("reached", flush=True))
            """,
    ),
    Attack(
        family=30,
        name="cheats_on_a_third_of_the_calls",
        problem="project",
        source="""
            import random, torch
            def run(x, w, b, y):
                if random.random() < 0.67:
                    @HONEST@
            """,
    ),
    Attack(
        family=30,
        name="cheats_where_nobody_looks",
        problem="project",
        source="""
            import os, sys, torch
            watched = any("verify" in str(key).lower() or "CORRECTNESS" in key for key in os.environ)
            def run(x, w, b, y):
                names = {sys._getframe(depth).f_code.co_name for depth in range(4)}
                if watched or names & {"verify", "compare", "warmup", "check"}:
                    @HONEST@
            """,
    ),
)
