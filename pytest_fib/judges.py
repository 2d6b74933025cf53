"""The judges of a run: what it needs of them, and who makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from pytest_fib.data.definition import Definition
    from pytest_fib.data.evaluation import Build, Evaluation
    from pytest_fib.data.solution import LoadedSolution
    from pytest_fib.data.workload import Workload
    from pytest_fib.judge.config import JudgeConfig


class Judge(Protocol):
    """What a run needs of ``pytest_fib.judge.session.JudgeSession``."""

    def evaluate(
        self, definition: Definition, workload: Workload, loaded: LoadedSolution, traceset_root: Path
    ) -> Evaluation:
        """Judge one solution on one workload; raises NotJudgeable for a skip."""

    def compare(
        self,
        evaluation: Evaluation,
        definition: Definition,
        workload: Workload,
        loaded: LoadedSolution,
        traceset_root: Path,
        baseline: LoadedSolution,
        margin: float,
    ) -> Evaluation:
        """Run a solution, and the baseline beside it, and say in its evaluation which is slower."""

    def try_build(
        self, definition: Definition, loaded: LoadedSolution, workloads: Sequence[Workload]
    ) -> Build:
        """Build and load one solution, as ``workloads`` want it; raises NotJudgeable for a skip."""

    def answers(self, definition: Definition, workload: Workload, traceset_root: Path) -> bool:
        """Whether the reference has an answer to a workload."""

    def close(self) -> None:
        """Stop every process and remove every file of the judge."""


JUDGE_FACTORY = pytest.StashKey[Callable[["JudgeConfig"], Judge]]()
"""In ``config.stash``: makes the judges of a run; a test puts a judge of its own here."""


def judge_factory(config: pytest.Config) -> Callable[[JudgeConfig], Judge]:
    """Return what makes the judges of a run."""
    factory = config.stash.get(JUDGE_FACTORY, None)
    if factory is not None:
        return factory
    from pytest_fib.judge.session import JudgeSession

    return JudgeSession
