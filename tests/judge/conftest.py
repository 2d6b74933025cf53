from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Limits, Sampling

REFERENCE = """
import torch

def run(x, w, bias):
    return x * w + bias
"""

SCALE_ADD = Definition.model_validate(
    {
        "name": "scale_add_h64",
        "op_type": "test",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 64}},
        "inputs": {
            "x": {"shape": ["rows", "h"], "dtype": "float32"},
            "w": {"shape": ["h"], "dtype": "float32"},
            "bias": {"shape": None, "dtype": "float32"},
        },
        "outputs": {"y": {"shape": ["rows", "h"], "dtype": "float32"}},
        "reference": REFERENCE,
    }
)

HONEST = """
import torch

def run(x, w, bias):
    return x * w + bias
"""


CPP = """
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
using tvm::ffi::TensorView;

void run(TensorView x, TensorView w, double bias, TensorView y) {
  auto *a = static_cast<float*>(x.data_ptr()), *b = static_cast<float*>(w.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  for (int64_t i = 0; i < x.shape()[0] * 64; ++i) out[i] = a[i] * b[i % 64] + static_cast<float>(bias);
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


def workload(rows: int = 4, **more: object) -> Workload:
    inputs = {"x": {"type": "random"}, "w": {"type": "random"}, "bias": {"type": "scalar", "value": 0.5}}
    return Workload.model_validate({"uuid": f"rows-{rows}", "axes": {"rows": rows}, "inputs": inputs, **more})


def solution(
    source: str | dict[str, str] = HONEST, language: str = "python", **spec: object
) -> LoadedSolution:
    sources = source if isinstance(source, dict) else {"main.cpp" if language == "cpp" else "main.py": source}
    fields = {"language": language, "target_hardware": ["cpu"], "entry_point": f"{next(iter(sources))}::run"}
    raw = {
        "name": "under_test",
        "definition": SCALE_ADD.name,
        "author": "tests",
        "spec": {**fields, **spec},
        "sources": [{"path": path, "content": content} for path, content in sources.items()],
    }
    return LoadedSolution(Solution.model_validate(raw), Path("under_test.json"))


def in_call(*lines: str) -> str:
    """Return an honest solution that first does something else in every call."""
    body = "\n".join(f"    {line}" for line in lines)
    imports = "import ctypes, os, signal, sys, threading, time, torch"
    return f"{imports}\n\ndef run(x, w, bias):\n{body}\n    return x * w + bias\n"


QUICK = Sampling(warmup_runs=1, iterations=4, trials=2)
CORRECTNESS = Sampling(trials=2, timing=False)
CONFIG = JudgeConfig(
    secret=b"s" * 32, limits=Limits(timeout_s=60, build_timeout_s=240, memory_bytes=1 << 30), sampling=QUICK
)

Judge = Callable[..., Evaluation]


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def session(cache_dir: Path) -> Iterator[JudgeSession]:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir)) as session:
        yield session


@pytest.fixture
def judge(session: JudgeSession) -> Judge:
    """Judge a solution on a workload of ``SCALE_ADD`` with few calls."""

    def evaluate(
        loaded: LoadedSolution | str = HONEST,
        case: Workload | None = None,
        definition: Definition = SCALE_ADD,
    ) -> Evaluation:
        subject = loaded if isinstance(loaded, LoadedSolution) else solution(loaded)
        return session.evaluate(definition, case or workload(), subject, None)

    return evaluate
