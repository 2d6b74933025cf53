"""Causal multi-head latent attention over packed sequences: the same offsets as ``gqa_ragged``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pytest_fib.inputs.structured import rules
from pytest_fib.inputs.structured.gqa_ragged import check, recipes

__all__ = ["check", "recipes", "scalars"]


def scalars(axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
    """Return DeepSeek's scale."""
    return {"sm_scale": rules.DEEPSEEK_SCALE}
