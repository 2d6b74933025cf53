"""The definitions that attacks and honest kernels compute: one of microseconds, one that costs enough to halve."""

from __future__ import annotations

from functools import cache

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload

_SCALE_ADD = """
def run(x, w, b):
    return x * w + b
"""

# What a projection costs is known to everybody; tanh keeps a wrong answer from being nearly right.
_PROJECT = """
import torch

def run(x, w, b):
    return torch.tanh(x @ w * 0.0625) * 8.0 + b
"""


@cache
def definition(name: str) -> Definition:
    """Return ``scale_add`` (``x * w + b``), ``project`` (a matrix product and tanh) or ``routed`` (the first under
    the matched-ratio rule of ``moe``); all float32, ``x`` ``[batch, 256]`` and ``y`` of the same shape."""
    weights = ["hidden", "hidden"] if name == "project" else ["hidden"]
    return Definition.model_validate(
        {
            "name": f"redteam_{name}",
            "op_type": "moe" if name == "routed" else "redteam",
            "axes": {"batch": {"type": "var"}, "hidden": {"type": "const", "value": 256}},
            "inputs": {
                "x": {"shape": ["batch", "hidden"], "dtype": "float32"},
                "w": {"shape": weights, "dtype": "float32"},
                "b": {"shape": ["hidden"], "dtype": "float32"},
            },
            "outputs": {"y": {"shape": ["batch", "hidden"], "dtype": "float32"}},
            "reference": _PROJECT if name == "project" else _SCALE_ADD,
        }
    )


@cache
def workload(name: str) -> Workload:
    """Return the one workload of ``definition(name)``."""
    return Workload.model_validate(
        {
            "axes": {"batch": 256 if name == "project" else 16},
            "inputs": {key: {"type": "random"} for key in ("x", "w", "b")},
            "uuid": f"redteam-{name}",
        }
    )
