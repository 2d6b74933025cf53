"""How the judge works in one session: frozen values made from the settings of a run. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pytest_fib.rule_lines import RuleLine

RuleName = Literal["flashinfer", "allclose"]


@dataclass(frozen=True)
class Limits:
    """What a candidate may use before it is stopped."""

    timeout_s: float = 300.0
    build_timeout_s: float = 300.0
    memory_bytes: int = 16 << 30
    input_bytes: int = 8 << 30  # inputs and outputs of one call, both copies; larger workloads are skipped


@dataclass(frozen=True)
class Tolerance:
    """Overrides of the op type's rule; None means the rule's own value."""

    rule: RuleName | None = None
    rtol: float | None = None
    atol: float | None = None
    required_matched_ratio: float | None = None
    max_error_cap: float | None = None  # no element may be further off, whatever the ratio


@dataclass(frozen=True)
class Sampling:
    """How often a solution is called.

    ``budget_s`` bounds the seconds spent in timed calls of one workload by lowering ``iterations`` and
    ``warmup_runs``, never below 20 verified calls in all; None means exactly the counts given.
    """

    warmup_runs: int = 10
    iterations: int = 30
    trials: int = 5
    budget_s: float | None = 3.0
    timing: bool = True


@dataclass(frozen=True)
class JudgeConfig:
    """Everything that the judge needs to know about the run."""

    secret: bytes  # 32 bytes; never leaves the judge
    device: str = "cpu"  # "cpu" or "cuda:N", resolved
    seed: int | None = None  # set when --fib-seed made the inputs predictable
    isolation: Literal["workload", "solution"] = "workload"
    limits: Limits = field(default_factory=Limits)
    rules: tuple[RuleLine, ...] = ()  # of the ini, before the judge's own table
    tolerance: Tolerance = field(default_factory=Tolerance)
    sampling: Sampling = field(default_factory=Sampling)
    cache_dir: Path | None = None  # None: $XDG_CACHE_HOME/pytest-fib
    session_dir: Path | None = None  # shared by the xdist workers of one run
    synthesize_missing: bool = False
    strict: bool = False  # remarks on numerics, other distributions and unpublished shapes become failures
    sandbox_without: frozenset[str] = frozenset()  # layers that candidates do not get
    require_sandbox: bool = False  # a layer that is missing ends the run instead of being reported
    workers: int = 1  # judges of this run that share the machine
