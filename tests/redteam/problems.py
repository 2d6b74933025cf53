"""The definitions that attacks and honest kernels compute: of microseconds, and such as cost enough to halve."""

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
    """Return one of the definitions; all float32, ``x`` ``[batch, 256]`` and ``y`` of the same shape.

    ``scale_add`` is ``x * w + b``, ``tiny`` one row of it, ``routed`` the same under the matched-ratio rule of
    ``moe``, ``project`` a matrix product and tanh, and ``narrow`` the same with 64 columns in place of 256, of some
    20 µs where plain C++ computes it.
    """
    projects = name in ("project", "narrow")
    weights = ["hidden", "hidden"] if projects else ["hidden"]
    return Definition.model_validate(
        {
            "name": f"redteam_{name}",
            "op_type": "moe" if name == "routed" else "redteam",
            "axes": {
                "batch": {"type": "var"},
                "hidden": {"type": "const", "value": 64 if name == "narrow" else 256},
            },
            "inputs": {
                "x": {"shape": ["batch", "hidden"], "dtype": "float32"},
                "w": {"shape": weights, "dtype": "float32"},
                "b": {"shape": ["hidden"], "dtype": "float32"},
            },
            "outputs": {"y": {"shape": ["batch", "hidden"], "dtype": "float32"}},
            "reference": _PROJECT if projects else _SCALE_ADD,
        }
    )


@cache
def workload(name: str) -> Workload:
    """Return the one workload of ``definition(name)``."""
    return Workload.model_validate(
        {
            "axes": {"batch": {"project": 256, "narrow": 10, "tiny": 1}.get(name, 16)},
            "inputs": {key: {"type": "random"} for key in ("x", "w", "b")},
            "uuid": f"redteam-{name}",
        }
    )
