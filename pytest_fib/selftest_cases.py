"""What the selftest judges: attacks and honest kernels of a few lines each, and the two problems that they solve.

``x`` is ``[batch, 256]``, ``b`` is ``[256]``, the output ``y`` is like ``x``, all float32. ``project`` is a matrix
product that costs enough to be halved; ``scale_add`` takes microseconds, so that several calls share a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent
from typing import Literal

from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload

LEAK = "LEAKED:"

Expectation = Literal["passes", "is caught", "gains nothing"]
ProblemName = Literal["project", "scale_add"]

_BATCH: dict[ProblemName, int] = {"project": 128, "scale_add": 16}
_REFERENCE: dict[ProblemName, str] = {
    "project": "import torch\n\ndef run(x, w, b):\n    return torch.tanh(x @ w * 0.0625) * 8.0 + b\n",
    "scale_add": "def run(x, w, b):\n    return x * w + b\n",
}
# The honest way to compute each problem; every case may call it.
_HONEST: dict[ProblemName, str] = {
    "project": "def honest(x, w, b):\n    return torch.mm(x, w).mul_(0.0625).tanh_().mul_(8.0).add_(b)\n",
    "scale_add": "def honest(x, w, b):\n    return torch.addcmul(b, x, w)\n",
}


@dataclass(frozen=True)
class Case:
    """One solution and what has to become of it.

    Attributes
    ----------
    expected
        ``passes``: an honest kernel; ``is caught``: must not pass; ``gains nothing``: does the work as well, so it
        may pass, but with no less than half of the honest latency. None may print what starts with ``LEAK``.
    source
        Defines ``run``; ``torch`` and ``honest(x, w, b)`` are there already, and ``@SECRET@`` is the path of a file
        outside that no candidate may read.
    passes_outputs
        Whether ``run`` writes into its last argument ``y`` instead of returning it.
    """

    name: str
    expected: Expectation
    source: str
    problem: ProblemName = "project"
    passes_outputs: bool = True


CASES = (
    Case("plain", "passes", "def run(x, w, b, y):\n    y.copy_(honest(x, w, b))"),
    Case("returns its output", "passes", "run = honest", passes_outputs=False),
    Case("plain, microseconds", "passes", "def run(x, w, b, y):\n    y.copy_(honest(x, w, b))", "scale_add"),
    Case(
        "threads that are joined",
        "passes",
        """
        import threading
        def half(x, w, b, y):
            y.copy_(honest(x, w, b))
        def run(x, w, b, y):
            parts = zip(x.chunk(2), y.chunk(2))
            threads = [threading.Thread(target=half, args=(a, w, b, part)) for a, part in parts]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        """,
    ),
    Case(
        "a workspace that is kept",
        "passes",
        """
        kept = {}
        def run(x, w, b):
            if x.shape not in kept:
                kept[x.shape] = torch.empty_like(x)
            y = kept[x.shape]
            torch.mm(x, w, out=y)
            return y.mul_(0.0625).tanh_().mul_(8.0).add_(b)
        """,
        passes_outputs=False,
    ),
    Case(
        "prints a lot",
        "passes",
        """
        import sys
        def run(x, w, b, y):
            print("x" * 10_000, file=sys.stderr)
            print('{"status": "RUNTIME_ERROR"}', flush=True)
            y.copy_(honest(x, w, b))
        """,
    ),
    Case(
        "remembers results by address",
        "is caught",
        """
        known = {}
        def run(x, w, b, y):
            key = x.data_ptr(), w.data_ptr(), b.data_ptr()
            if key not in known:
                known[key] = honest(x, w, b)
            y.copy_(known[key])
        """,
    ),
    Case(
        "remembers results by shape",
        "is caught",
        """
        known = {}
        def run(x, w, b, y):
            if x.shape not in known:
                known[x.shape] = honest(x, w, b)
            y.copy_(known[x.shape])
        """,
    ),
    Case(
        "leaves old output in place",
        "is caught",
        """
        calls = 0
        def run(x, w, b, y):
            global calls
            calls += 1
            if calls <= 10:
                y.copy_(honest(x, w, b))
        """,
    ),
    Case(
        "one call for several",
        "gains nothing",
        """
        import time
        last, when = None, 0.0
        def run(x, w, b, y):
            global last, when
            if last is None or time.perf_counter() - when > 2e-5:
                last = honest(x, w, b)
            y.copy_(last)
            when = time.perf_counter()
        """,
        "scale_add",
    ),
    Case(
        "finishes later",
        "is caught",
        """
        import threading, time
        def late(x, w, b, y):
            time.sleep(0.0003)
            y.copy_(honest(x, w, b))
        def run(x, w, b, y):
            threading.Thread(target=late, args=(x, w, b, y), daemon=True).start()
        """,
    ),
    Case(
        "works between requests",
        "gains nothing",
        """
        import threading, time
        given, ready = [], {}
        def ahead():
            while True:
                for x, w, b in given[-1:]:
                    key = x[0, :8].tolist() + x[-1, -8:].tolist()
                    if ready.get("key") != key:
                        ready["y"] = honest(x, w, b)
                        ready["key"] = x[0, :8].tolist() + x[-1, -8:].tolist()
                time.sleep(0)
        def run(x, w, b, y):
            if not given:
                given.append((x, w, b))
                threading.Thread(target=ahead, daemon=True).start()
            if ready.get("key") == x[0, :8].tolist() + x[-1, -8:].tolist():
                y.copy_(ready["y"])
            else:
                y.copy_(honest(x, w, b))
        """,
    ),
    Case(
        "writes beside its output",
        "is caught",
        """
        import ctypes
        def run(x, w, b, y):
            y.copy_(honest(x, w, b))
            ctypes.memset(y.data_ptr() + y.nbytes, 0, 64)
        """,
    ),
    Case(
        "changes its input",
        "is caught",
        """
        def run(x, w, b, y):
            y.copy_(honest(x, w, b))
            x.zero_()
        """,
    ),
    Case(
        "turns clocks back",
        "gains nothing",
        """
        import time
        for name in ("time", "monotonic", "perf_counter", "process_time"):
            setattr(time, name, lambda: 1.0)
            setattr(time, name + "_ns", lambda: 1_000_000_000)
        torch.cuda.synchronize = lambda *_: None
        def run(x, w, b, y):
            y.copy_(honest(x, w, b))
        """,
    ),
    Case(
        "not a number",
        "is caught",
        "def run(x, w, b, y):\n    y.fill_(float('nan'))",
    ),
    Case(
        "says PASSED and leaves",
        "is caught",
        """
        import os
        def run(x, w, b, y):
            print('{"status": "PASSED", "latency_ms": 0.001, "speedup": 1000.0}', flush=True)
            os._exit(0)
        """,
    ),
    Case(
        "reads files outside",
        "gains nothing",
        f"""
        try:
            with open("@SECRET@") as file:
                print("{LEAK}" + file.read())
        except OSError as error:
            print(type(error).__name__)
        def run(x, w, b, y):
            y.copy_(honest(x, w, b))
        """,
    ),
)


@cache
def definition(problem: ProblemName) -> Definition:
    """Return the definition of a problem."""
    return Definition.model_validate(
        {
            "name": f"selftest_{problem}",
            "op_type": "selftest",
            "axes": {"batch": {"type": "var"}, "hidden": {"type": "const", "value": 256}},
            "inputs": {
                "x": {"shape": ["batch", "hidden"], "dtype": "float32"},
                "w": {"shape": ["hidden"] * (2 if problem == "project" else 1), "dtype": "float32"},
                "b": {"shape": ["hidden"], "dtype": "float32"},
            },
            "outputs": {"y": {"shape": ["batch", "hidden"], "dtype": "float32"}},
            "reference": _REFERENCE[problem],
        }
    )


@cache
def workload(problem: ProblemName) -> Workload:
    """Return the one workload of a problem."""
    return Workload.model_validate(
        {
            "axes": {"batch": _BATCH[problem]},
            "inputs": {name: {"type": "random"} for name in ("x", "w", "b")},
            "uuid": f"selftest-{problem}",
        }
    )


def solution(case: Case, secret_file: Path) -> LoadedSolution:
    """Return ``case`` as a solution that knows where ``secret_file`` lies."""
    source = dedent(case.source).strip().replace("@SECRET@", str(secret_file))
    content = {
        "name": f"selftest: {case.name}",
        "definition": definition(case.problem).name,
        "author": "pytest-fib",
        "spec": {
            "language": "python",
            "target_hardware": ["cpu"],
            "entry_point": "main.py::run",
            "destination_passing_style": case.passes_outputs,
        },
        "sources": [{"path": "main.py", "content": f"import torch\n\n{_HONEST[case.problem]}\n{source}\n"}],
    }
    return LoadedSolution(Solution.model_validate(content), Path("selftest.json"))
