from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_fib.judge.idlers import Idlers


@dataclass
class Recorded:
    """A candidate that does nothing but note what it is told."""

    told: list[str] = field(default_factory=list)

    def load(self, order: Any, timeout_s: float) -> str:
        self.told.append(f"load {order}")
        return ""

    def attach(self, arena: Any) -> None:
        self.told.append(f"attach {arena}")

    def await_attached(self, timeout_s: float) -> None:
        self.told.append("await")

    def stop(self) -> None:
        self.told.append("stop")

    def resume(self) -> None:
        self.told.append("resume")

    def kill(self) -> None:
        self.told.append("kill")


@dataclass
class Started:
    candidates: list[Recorded] = field(default_factory=list)

    def __call__(self, keeper: Any) -> Any:
        self.candidates.append(Recorded())
        return self.candidates[-1]


def serve(idlers: Idlers, start: Any, keeper: str, order: str, arena: str) -> None:
    with idlers.serving(keeper, start, order, arena):  # type: ignore[arg-type]
        pass


def test_a_candidate_lasts_and_is_told_what_is_new() -> None:
    idlers, start = Idlers(), Started()
    serve(idlers, start, "keeper", "short", "small")
    serve(idlers, start, "keeper", "short", "small")
    serve(idlers, start, "keeper", "long", "small")
    serve(idlers, start, "keeper", "long", "large")
    [candidate] = start.candidates
    assert candidate.told == [
        *("load short", "attach small", "await", "stop"),
        *("resume", "stop"),
        *("resume", "load long", "stop"),
        *("resume", "attach large", "await", "stop"),
    ]
    idlers.close()
    assert candidate.told[-1] == "kill"


def test_each_keeper_has_its_own() -> None:
    idlers, start = Idlers(), Started()
    for keeper in ("one", "other", "one"):
        serve(idlers, start, keeper, "order", "arena")
    assert len(start.candidates) == 2


def test_after_a_failure_there_is_a_new_one() -> None:
    idlers, start = Idlers(), Started()
    with pytest.raises(ZeroDivisionError), idlers.serving("keeper", start, "order", "arena"):  # type: ignore[arg-type]
        raise ZeroDivisionError
    serve(idlers, start, "keeper", "order", "arena")
    failed, fresh = start.candidates
    assert failed.told[-1] == "kill"
    assert "load order" in fresh.told
