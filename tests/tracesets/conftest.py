from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.readers import read_definition

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fib_{path.stem}_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generate_copy() -> Callable[[Path], ModuleType]:
    """Loads another copy of the generator, which then works on the folder that it lies in."""
    return load


@pytest.fixture(scope="session")
def reference() -> Callable[[str], dict[str, Any]]:
    """Loads the reference of a mini definition: the functions of its module by name."""

    def load_reference(name: str) -> dict[str, Any]:
        path = next((ROOT / "tracesets" / "mini" / "definitions").glob(f"*/{name}.json"))
        namespace: dict[str, Any] = {}
        exec(read_definition(path).reference, namespace)
        return namespace

    return load_reference


@pytest.fixture(scope="session")
def assert_attends() -> Callable[..., None]:
    """Compares outputs [rows, heads, e] and lse [rows, heads] with attention in float64, key by key.

    ``seen(row, head)`` returns the query [d], the keys and the values that this row has seen, as (q, [(k, v), ...]).
    """

    def compare(outputs: tuple[torch.Tensor, torch.Tensor], scale: float, seen: Callable[..., Any]) -> None:
        output, lse = outputs
        assert (output.dtype, lse.dtype) == (torch.bfloat16, torch.float32)
        assert lse.shape == output.shape[:2]
        for row in range(output.shape[0]):
            for head in range(output.shape[1]):
                q, pairs = seen(row, head)
                exponentials = [
                    math.exp(scale * math.fsum(a * b for a, b in zip(q, k, strict=True))) for k, _ in pairs
                ]
                total = math.fsum(exponentials)
                expected = np.zeros(output.shape[2])
                for exponential, (_, v) in zip(exponentials, pairs, strict=True):
                    expected += exponential / total * v
                got = output[row, head].double().numpy()
                np.testing.assert_allclose(got, expected, rtol=2.0**-8, atol=1e-6)
                base_two = math.log2(total) if total else -math.inf
                assert float(lse[row, head]) == pytest.approx(base_two, rel=1e-5, abs=1e-5)

    return compare
