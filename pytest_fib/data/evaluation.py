"""What the judge found out about one solution on one workload: plain frozen values, no torch."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Literal

from pytest_fib.data.trace import EvaluationStatus

Clock = Literal["judge", "gated", "cupti", "events"]
Verdict = Literal["FASTER", "SAME", "SLOWER", "AMBIGUOUS"]


@dataclass(frozen=True)
class Mismatch:
    """Why one output of one verified call is not accepted.

    ``failed`` of ``total`` elements (or choices) are wrong. ``index`` is the position of the worst element, and
    ``expected`` and ``got`` are its values as Python floats; None where no single element is to blame. ``rule`` is
    the tolerance in words, e.g. ``abs > 0.01 and rel > 0.01``.
    """

    output: str
    call: int
    problem: str  # "elements out of tolerance", ...
    failed: int
    total: int
    atol: float
    rtol: float
    rule: str
    required_matched_ratio: float
    matched_ratio: float
    index: tuple[int, ...] | None = None
    expected: float | None = None
    got: float | None = None
    absolute_error: float | None = None
    relative_error: float | None = None
    sentence: str = ""  # what is wrong, where counting elements does not say it


@dataclass(frozen=True)
class Timing:
    """Latency of one solution on one workload by the judge's clock.

    ``trials_ms[t]`` holds the samples of trial ``t`` in milliseconds per call, hand-over subtracted;
    ``clock_uncertainty_ms`` is by how much that subtraction may be wrong.
    """

    trials_ms: tuple[tuple[float, ...], ...]
    reference_latency_ms: float
    handover_ms: float
    calls_per_request: int
    ci95_ms: tuple[float, float] | None
    floor_ms: float | None = None  # no call can be below it; None where the op type declares none
    outliers: int = 0  # samples far from the median: counted, never dropped
    clock: Clock = "judge"
    clock_uncertainty_ms: float = 0.0

    @property
    def latency_ms(self) -> float:
        """Mean over trials of each trial's median, as FlashInfer-Bench reports it."""
        return statistics.fmean(statistics.median(trial) for trial in self.trials_ms)

    @property
    def median_ms(self) -> float:
        """Median of all samples."""
        return statistics.median(self.samples_ms)

    @property
    def samples_ms(self) -> list[float]:
        """All samples in the order in which they were measured."""
        return [sample for trial in self.trials_ms for sample in trial]

    @property
    def speedup(self) -> float:
        """Reference latency divided by solution latency."""
        return self.reference_latency_ms / self.latency_ms


@dataclass(frozen=True)
class Stage:
    """The blocks of one stage: milliseconds per call of candidate and baseline, block by block.

    Of a baseline that is only numbers: the one new latency and those of the earlier runs.
    """

    candidate_ms: tuple[float, ...]
    baseline_ms: tuple[float, ...]


@dataclass(frozen=True)
class Gating:
    """What came of comparing a solution with its baseline on one workload.

    Attributes
    ----------
    baseline
        The baseline's name.
    margin
        The slow-down that is allowed (0.02: 2 %).
    verdict
        None where there was no comparison; ``reason`` says why.
    ratio, ratio_ci
        Candidate latency divided by baseline latency, and its interval, of the stage that decided.
    latency_ms, baseline_latency_ms
        Geometric means over the blocks of that stage.
    stages
        All blocks; a second stage is there where the first said SLOWER, or was AMBIGUOUS and looked unsteady.
    scatter
        Standard deviation of a block's log-ratio in that stage; None for a baseline of numbers.
    detectable
        The smallest slow-down that would have been found (0.05: 5 %) in 95 % of all cases.
    unsteady
        Whether the candidate's blocks scatter so much more than the baseline's that nothing can be said.
    """

    baseline: str
    margin: float
    verdict: Verdict | None = None
    reason: str = ""
    ratio: float | None = None
    ratio_ci: tuple[float, float] | None = None
    latency_ms: float | None = None
    baseline_latency_ms: float | None = None
    stages: tuple[Stage, ...] = ()
    scatter: float | None = None
    detectable: float | None = None
    unsteady: bool = False

    def fails(self, strict: bool = False) -> bool:
        """Whether a gate fails for it; a ``strict`` one lets nothing pass that is not known to be SAME or FASTER."""
        return (
            self.verdict == "SLOWER" or self.unsteady or (strict and self.verdict not in ("SAME", "FASTER"))
        )


@dataclass(frozen=True)
class Conditions:
    """What a device was like around the measured blocks of one workload.

    Attributes
    ----------
    problem
        Why nothing is known; everything else is empty then.
    driver
        The driver's version.
    sm_mhz, memory_mhz
        The lowest and the highest clock that was seen.
    idle_sm_mhz
        The clock before anything was measured.
    max_sm_mhz
        The highest clock that the device can have.
    reasons
        Why the driver held its clock where it was, as NVML names it (``sw_power_cap``).
    locked
        Whether the clock is held by a setting; None where that was not seen.
    blocks, slowed_blocks, repeated_blocks
        How many blocks were measured in all, before or after how many of them the device was slowed down, and how
        many of those were measured again.
    others
        The most processes of others that had the device open; None where the driver does not say.
    """

    problem: str = ""
    driver: str = ""
    sm_mhz: tuple[int, int] | None = None
    memory_mhz: tuple[int, int] | None = None
    idle_sm_mhz: int | None = None
    max_sm_mhz: int | None = None
    reasons: tuple[str, ...] = ()
    locked: bool | None = None
    blocks: int = 0
    slowed_blocks: int = 0
    repeated_blocks: int = 0
    others: int | None = None


@dataclass(frozen=True)
class Build:
    """What came of building and loading a solution; ``log`` is empty where it went well.

    ``kernels`` are those of Triton that the candidate says it compiled ahead for ``architecture``, and ``remarks``
    say which were not, and why.
    """

    seconds: float
    log: str = ""
    output: str = ""  # what it printed (capped)
    architecture: str = ""  # empty where no kernel was to be compiled ahead
    kernels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The judge's finding; ``status`` decides, everything else explains."""

    definition: str
    op_type: str
    workload: str
    axes: dict[str, int]
    solution: str
    solution_hash: str
    status: EvaluationStatus
    timestamp: str  # ISO 8601 with offset, when judging ended
    log: str = (
        ""  # what went wrong: the judge's sentence, the candidate's traceback, compiler output (capped)
    )
    output: str = ""  # what the candidate printed (capped)
    mismatch: Mismatch | None = None
    max_absolute_error: float | None = None
    max_relative_error: float | None = None
    matched_ratio: float | None = None
    error_ratio: float | None = None  # error as a multiple of the reference's own, against float64
    timing: Timing | None = None
    verified_calls: int = 0
    calls: int = 0
    predictable_inputs: bool = False
    seed: int | None = None
    wall_seconds: float = 0.0
    overhead_seconds: float = 0.0  # wall time that was neither calls nor reference nor build
    build_seconds: float = 0.0
    device: str = "cpu"  # or "cuda:N", as the judge's process counts
    threads: int = 1  # CPU threads that candidate and reference were given
    integrity_detail: str = ""
    sandbox: tuple[tuple[str, bool, str], ...] = ()  # layer, whether it holds, why not (or a remark)
    remarks: tuple[str, ...] = field(default=())
    synthesized: tuple[str, ...] = ()  # captured inputs that were not there and were drawn instead
    gating: Gating | None = None  # None where no baseline was named
    conditions: Conditions | None = None  # of the device; None on a CPU

    @property
    def passed(self) -> bool:
        """Whether the status is PASSED."""
        return self.status is EvaluationStatus.PASSED
