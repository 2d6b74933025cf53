from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.readers import read_definition

ROOT = Path(__file__).resolve().parents[2]


Reference = Callable[[str], dict[str, Any]]


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).to(torch.bfloat16)


def int32(values: list[int]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def visible_tokens(
    row: int, queries: list[int], pages: list[list[int]], last: list[int], page_size: int
) -> list[tuple[int, int]]:
    """Page and place of the tokens that query ``row`` of packed sequences sees in a paged cache.

    Sequence b has ``queries[b]`` queries and its tokens in ``pages[b]``, ``last[b]`` of them on the last one.
    """
    b = next(b for b in range(len(queries)) if row < sum(queries[: b + 1]))
    i = row - sum(queries[:b])
    tokens = [(page, t) for page in pages[b] for t in range(page_size)]
    if pages[b]:
        tokens = tokens[: len(tokens) - page_size + last[b]]
    return tokens[: max(0, i + 1 + len(tokens) - queries[b])]


@pytest.fixture(scope="session")
def reference() -> Reference:
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
