"""The harness as prey: comparison, names, frames, the reference, pytest, the channel (20, 21, 26, 28, 29, 31)."""

from __future__ import annotations

from redteam.cases import Attack

# "Cannot be judged here": as the judge says it to itself, and as a failure with a number that no failure has.
_UNSUPPORTED = """
import contextlib, gc, socket, time
from pytest_fib import build, errors
from pytest_fib.border.wire import Kind, Message
def claim():
    raise getattr(build, "UnsupportedError", errors.NotJudgeable)("not on this machine")
def send(number):
    for thing in gc.get_objects():
        if isinstance(thing, socket.socket) and thing.family == socket.AF_UNIX:
            with contextlib.suppress(OSError):
                thing.send(Message(Kind.FAILED, a=number, text="not on this machine").encode())
    time.sleep(1)
"""

ATTACKS = (
    Attack(
        family=20,
        name="torch_compares_equal",
        source="""
            import numpy, torch
            for owner in (torch, torch.Tensor, torch.testing, numpy, numpy.testing):
                for name in ("allclose", "equal", "isclose", "assert_close", "assert_allclose", "array_equal"):
                    if hasattr(owner, name):
                        setattr(owner, name, lambda *args, **more: True)
            torch.Tensor.__sub__ = torch.Tensor.__rsub__ = lambda a, b: torch.zeros(())
            torch.Tensor.abs = lambda a: torch.zeros(())
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=21,
        name="rules_of_our_own",
        source="""
            import sys, pytest_fib.judge.rules as rules, pytest_fib.judge.bench as bench
            rules.compare = bench.compare = lambda *args: rules.Comparison.nothing()
            rules.Rule.__init__.__defaults__ = ("flashinfer", 1e9, 1e9, 0.0)
            bench.Bench._verify = bench.Bench._check_integrity = lambda *args: None
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=21,
        name="worker_that_only_says_done",
        says="reached",
        patience="short",
        source="""
            from pytest_fib.border.arena import DONE, GO, READY
            from pytest_fib.candidate.worker import Worker
            told = []
            def timed_request(self, kernel, memory, sequence):
                told or told.append(print("reached", flush=True))
                memory.reply[READY] = sequence
                while memory.control[GO] != sequence:
                    pass
                memory.reply[DONE] = sequence
            Worker._timed_request = timed_request
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=21,
        name="adapter_that_accepts_anything",
        dps=False,
        source="""
            import pytest_fib.candidate.adapter as adapter
            adapter.store = adapter._store_one = lambda *args: None
            def run(x, w, b):
                return b
            """,
    ),
    Attack(
        family=21,
        name="import_hooks",
        source="""
            import builtins, importlib, sys
            real = builtins.__import__
            def fake(name, *args, **more):
                return sys if "pytest_fib" in name or "numpy" in name else real(name, *args, **more)
            builtins.__import__ = importlib.__import__ = fake
            sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(lambda *args: None)}))
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=26,
        name="looks_for_the_reference_in_memory",
        honest_path=True,
        source="""
            import gc, sys, torch
            def hunt(shape):
                for thing in gc.get_objects():
                    if isinstance(thing, torch.Tensor) and thing.shape == shape and thing.dtype == torch.float64:
                        print("@LEAK@ a tensor like the expected output")
                    if type(thing).__name__ in ("Reference", "JudgeConfig", "InputPlan", "Bench"):
                        print("@LEAK@ the judge's", type(thing).__name__)
                for name in sys.modules:
                    if name.startswith(("pytest_fib.judge", "pytest_fib.inputs", "pytest_fib.data", "_pytest")):
                        print("@LEAK@ the module", name)
                frame = sys._getframe()
                while frame is not None:
                    if {"secret", "expected", "reference", "seed"} & frame.f_locals.keys():
                        print("@LEAK@ the frame of", frame.f_code.co_name)
                    frame = frame.f_back
            hunted = []
            def run(x, w, b, y):
                if not hunted:
                    hunted.append(hunt(y.shape))
                @HONEST@
            """,
    ),
    Attack(
        family=28,
        name="operators_of_our_own",
        problem="project",
        source="""
            import torch
            torch.tanh = torch.Tensor.tanh = lambda tensor: tensor * 0
            torch.Tensor.__matmul__ = lambda a, b: torch.zeros(a.shape)
            def run(x, w, b, y):
                y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=28,
        name="operators_replaced_in_the_dispatcher",
        problem="project",
        source="""
            import torch
            library = torch.library.Library("aten", "IMPL")
            library.impl("tanh", lambda tensor: torch.zeros_like(tensor), "CPU")
            def run(x, w, b, y):
                y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=29,
        name="skips_itself",
        source="""
            import pytest
            def run(x, w, b, y):
                pytest.skip("no suitable device")
            """,
    ),
    Attack(
        family=29,
        name="skips_itself_on_import",
        source="""
            import unittest, pytest
            pytest.skip("no suitable device", allow_module_level=True)
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=29,
        name="ends_pytest",
        source="""
            import _pytest.runner, pytest
            _pytest.runner.pytest_runtest_makereport = lambda item, call: None
            def run(x, w, b, y):
                pytest.exit("all passed", returncode=0)
            """,
    ),
    Attack(
        family=29,
        name="claims_that_it_is_unsupported",
        source=_UNSUPPORTED
        + """
def run(x, w, b, y):
    claim()
""",
    ),
    Attack(
        family=29,
        name="claims_on_import_that_it_is_unsupported",
        source=_UNSUPPORTED
        + """
claim()
def run(x, w, b, y):
    pass
""",
    ),
    Attack(
        family=29,
        name="sends_that_it_is_unsupported",
        source=_UNSUPPORTED
        + """
def run(x, w, b, y):
    send(5)
""",
    ),
    Attack(
        family=29,
        name="sends_on_import_that_it_is_unsupported",
        source=_UNSUPPORTED
        + """
send(6)
def run(x, w, b, y):
    pass
""",
    ),
    Attack(
        family=29,
        name="plants_a_conftest",
        files={
            "conftest.py": "import pytest\n\ndef pytest_runtest_call(item):\n    pytest.skip('planted')\n"
        },
        source="""
            def run(x, w, b, y):
                pass
            """,
    ),
    Attack(
        family=31,
        name="prints_a_verdict",
        source="""
            import json, os
            verdict = json.dumps({"evaluation": {"status": "PASSED", "performance": {"latency_ms": 1e-6}}})
            def run(x, w, b, y):
                for fd in (1, 2):
                    os.write(fd, f"PASSED\\n{verdict}\\n".encode())
            """,
    ),
    Attack(
        family=31,
        name="says_done_on_every_descriptor",
        source="""
            import os, stat
            from pytest_fib.border.wire import Kind, Message
            def answer():
                for fd in range(3, 64):
                    try:
                        if stat.S_ISSOCK(os.fstat(fd).st_mode):
                            for _ in range(20):
                                os.write(fd, Message(Kind.DONE).encode())
                    except OSError:
                        pass
            answer()
            def run(x, w, b, y):
                answer()
            """,
    ),
    Attack(
        family=31,
        name="says_done_in_advance",
        says="reached",
        source="""
            import sys
            from pytest_fib.border.arena import DONE, READY
            told = []
            def run(x, w, b, y):
                frame = sys._getframe(2)
                memory, sequence = frame.f_locals["memory"], frame.f_locals["sequence"]
                told or told.append(print("reached", flush=True))
                memory.reply[DONE] = memory.reply[READY] = sequence + 1
            """,
    ),
    Attack(
        family=31,
        name="last_words",
        source="""
            import atexit, os, sys
            sys.excepthook = lambda *args: os._exit(0)
            atexit.register(print, "PASSED")
            def run(x, w, b, y):
                print("PASSED", flush=True)
                os._exit(0)
            """,
    ),
)
