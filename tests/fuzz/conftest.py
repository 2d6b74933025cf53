from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import Workload

ROWS = Definition.model_validate(
    {
        "name": "rows",
        "op_type": "test",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 64}},
        "inputs": {
            "x": {"shape": ["rows", "h"], "dtype": "float32"},
            "scale": {"shape": None, "dtype": "float32"},
        },
        "outputs": {"y": {"shape": ["rows", "h"], "dtype": "float32"}},
        "reference": "def run(x, scale): return x * scale",
    }
)
RAGGED = Definition.model_validate(
    {
        "name": "ragged",
        "op_type": "gqa_ragged",
        "axes": {
            **{name: {"type": "var"} for name in ("len_indptr", "total_q", "total_kv")},
            **{name: {"type": "const", "value": 8} for name in ("heads", "dim")},
        },
        "inputs": {
            "q": {"shape": ["total_q", "heads", "dim"], "dtype": "float32"},
            "k": {"shape": ["total_kv", "heads", "dim"], "dtype": "float32"},
            "qo_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
            "kv_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
        },
        "outputs": {"y": {"shape": ["total_q", "heads", "dim"], "dtype": "float32"}},
        "reference": "def run(q, k, qo_indptr, kv_indptr): return q",
        "constraints": ["total_q == qo_indptr[-1].item()"],
    }
)

Verdict = Callable[[Mapping[str, int]], str]
"""Says the status of a workload by its axes."""


def evaluation(workload: Workload, status: str = "PASSED", **changes: Any) -> Evaluation:
    values: dict[str, Any] = {
        "definition": "d",
        "op_type": "test",
        "workload": workload.uuid,
        "axes": dict(workload.axes),
        "solution": "s",
        "solution_hash": "ab" * 32,
        "status": EvaluationStatus(status),
        "timestamp": "2026-01-01T00:00:00+00:00",
    }
    return Evaluation(**{**values, **changes})
