"""What outlives a workload, with keepers and candidates that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_fib.judge.lasting import Lasting

from .conftest import HONEST, solution

ONE, OTHER = solution(HONEST), solution(HONEST.replace("bias", "shift"))


@dataclass
class Fake:
    alive: bool = True

    def kill(self) -> None:
        self.alive = False

    close = kill


def made() -> Any:
    return Fake()


def test_each_trial_has_its_own_home_for_all_workloads() -> None:
    lasting = Lasting()
    first = lasting.home(ONE, 0, made)
    assert lasting.home(ONE, 1, made) is not first
    assert lasting.home(ONE, 0, made) is first


def test_a_candidate_serves_again_as_long_as_it_lives() -> None:
    lasting = Lasting()
    assert lasting.candidate(ONE, 0) is None
    lasting.home(ONE, 0, made)
    candidate = made()
    lasting.keep(0, candidate)
    assert lasting.candidate(ONE, 0) is candidate
    assert lasting.candidate(ONE, 1) is None
    assert lasting.candidate(OTHER, 0) is None
    candidate.kill()
    assert lasting.candidate(ONE, 0) is None


def test_another_solution_ends_them() -> None:
    lasting = Lasting()
    home, candidate = lasting.home(ONE, 0, made), made()
    lasting.keep(0, candidate)
    other = lasting.home(OTHER, 0, made)
    assert not home.alive
    assert not candidate.alive
    assert lasting.candidate(OTHER, 0) is None
    lasting.close()
    assert not other.alive
