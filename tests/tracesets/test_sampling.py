"""Sampling references: what they keep against an enumeration in exact fractions, what they draw against that."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from .conftest import Reference

Row = list[Fraction]
VOCABULARY = 1000
BY_TOP_K = "top_k_sampling_from_probs_v1000"
BY_TOP_P = "top_p_sampling_from_probs_v1000"
BY_BOTH = "top_k_top_p_sampling_from_probs_v1000"


def kept_by_top_k(row: Row, k: int) -> Row:
    """The k largest, the first of equals, made to sum to 1; everything unless 0 < k < len(row)."""
    if not 0 < k < len(row):
        return row
    chosen = sorted(range(len(row)), key=lambda i: (-row[i], i))[:k]
    total = sum(row[i] for i in chosen)
    return [row[i] / total if i in chosen else Fraction(0) for i in range(len(row))]


def kept_by_top_p(row: Row, p: Fraction) -> Row:
    """The largest ones up to and including that with which their sum exceeds p, made to sum to 1."""
    if p >= 1:
        return row
    chosen: list[int] = []
    for i in sorted(range(len(row)), key=lambda i: (-row[i], i)):
        chosen.append(i)
        if sum(row[j] for j in chosen) > p:
            break
    total = sum(row[i] for i in chosen)
    return [row[i] / total if i in chosen else Fraction(0) for i in range(len(row))]


# Sixteenths are exact in float32, so that sums meet limits exactly.
sixteenths = st.lists(st.integers(0, 15), min_size=1, max_size=8).map(
    lambda parts: [Fraction(part, 16) for part in [*parts[:-1], 16 - sum(parts[:-1])] if part >= 0]
)
rows = sixteenths.filter(lambda row: sum(row) == 1)
limits = st.integers(-2, 18).map(lambda part: Fraction(part, 16))


@given(row=rows, k=st.integers(-1, 9))
def test_top_k_keeps_what_enumeration_keeps(reference: Reference, row: Row, k: int) -> None:
    got = reference(BY_TOP_K)["keep_top_k"](torch.tensor([float(x) for x in row]), k)
    np.testing.assert_allclose(got, [float(x) for x in kept_by_top_k(row, k)], rtol=1e-6)


@given(row=rows, p=limits)
def test_top_p_keeps_what_enumeration_keeps(reference: Reference, row: Row, p: Fraction) -> None:
    got = reference(BY_TOP_P)["keep_top_p"](torch.tensor([float(x) for x in row]), float(p))
    np.testing.assert_allclose(got, [float(x) for x in kept_by_top_p(row, p)], rtol=1e-6)


def test_the_rest_after_top_k_is_renormalised_before_top_p(reference: Reference) -> None:
    both = reference(BY_BOTH)
    row = torch.tensor([0.4, 0.3, 0.2, 0.1])
    kept = both["keep_top_p"](both["keep_top_k"](row, 2), 0.5)  # of 4/7 and 3/7 the first exceeds a half
    assert kept.tolist() == [1, 0, 0, 0]
    assert both["keep_top_p"](row, 0.5).count_nonzero() == 2


def draws(run: Callable[..., torch.Tensor], row: torch.Tensor, count: int, **limits: float) -> torch.Tensor:
    """Draw ``count`` times from one row with a fixed seed."""
    types = {"top_k": torch.int32, "top_p": torch.float32}
    batch = {name: torch.full((count,), value, dtype=types[name]) for name, value in limits.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        samples = run(probs=row.expand(count, -1), **batch)
    assert samples.dtype == torch.int64
    assert samples.shape == (count,)
    return samples


@pytest.mark.parametrize(
    ("name", "limits"),
    [(BY_TOP_K, {"top_k": 6}), (BY_TOP_P, {"top_p": 0.7}), (BY_BOTH, {"top_k": 9, "top_p": 0.8})],
)
def test_draws_have_the_distribution_that_is_left(
    reference: Reference, name: str, limits: dict[str, Any]
) -> None:
    logits = np.random.default_rng(5).normal(0, 1.5, 40)
    row = [Fraction(float(x)) for x in np.exp(logits) / np.exp(logits).sum()]
    left = kept_by_top_k(row, limits.get("top_k", 0))
    left = kept_by_top_p(left, Fraction(limits.get("top_p", 1)))
    samples = draws(reference(name)["run"], torch.tensor([float(x) for x in row]), 4000, **limits)
    counts = np.bincount(samples, minlength=40)
    possible = [i for i in range(40) if left[i] > 0]
    assert 3 < len(possible) < 20
    assert counts[possible].sum() == 4000
    expected = np.array([float(left[i]) * 4000 for i in possible])
    statistic = ((counts[possible] - expected) ** 2 / expected).sum()
    assert 0.001 < chi2.sf(statistic, len(possible) - 1) < 0.999


@pytest.mark.parametrize("name", [BY_TOP_K, BY_TOP_P, BY_BOTH])
def test_no_rows(reference: Reference, name: str) -> None:
    limits = {"top_k": torch.zeros(0, dtype=torch.int32), "top_p": torch.zeros(0)}
    wanted = {key: limits[key] for key in limits if key in name}
    samples = reference(name)["run"](probs=torch.zeros(0, VOCABULARY), **wanted)
    assert (samples.shape, samples.dtype) == ((0,), torch.int64)
