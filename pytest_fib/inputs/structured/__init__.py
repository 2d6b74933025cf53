"""Generators of inputs that obey an op type's rules: offsets, page numbers, lengths, scales, routing.

One module per op type and one line in ``GENERATORS``. A module has three functions:

``recipes(problem)``
    A recipe for every input that plain random content would spoil. NotJudgeable if no valid content exists.
``scalars(axes, rng)``
    Values for scalar inputs that the workload leaves open.
``check(problem, given)``
    Raise NotJudgeable if captured integer tensors (``given``: flat int64 by name) break the op type's rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from pytest_fib.inputs.recipes import Array, Problem, Recipe
from pytest_fib.inputs.structured import (
    dsa_paged,
    gdn,
    gqa_paged,
    gqa_ragged,
    mamba_ssu,
    mla_paged,
    mla_ragged,
    moe,
    rope,
    sampling,
)


class Generator(Protocol):
    """What a module of this package offers."""

    def recipes(self, problem: Problem) -> dict[str, Recipe]:
        """Return recipes by input name."""

    def scalars(self, axes: Mapping[str, int], rng: np.random.Generator) -> dict[str, int | float]:
        """Return values by the names of scalar inputs."""

    def check(self, problem: Problem, given: Mapping[str, Array]) -> None:
        """Raise NotJudgeable if captured content breaks the rules."""


GENERATORS: Mapping[str, Generator] = MappingProxyType(
    {
        "dsa_paged": dsa_paged,
        "gdn": gdn,
        "gqa_paged": gqa_paged,
        "gqa_ragged": gqa_ragged,
        "mamba_ssu": mamba_ssu,
        "mla_paged": mla_paged,
        "mla_ragged": mla_ragged,
        "moe": moe,
        "rope": rope,
        "sampling": sampling,
    }
)
