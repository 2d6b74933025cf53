"""What lasts for all workloads of one solution (isolation ``solution``): a keeper and a candidate for each trial."""

from __future__ import annotations

from collections.abc import Callable

from pytest_fib.data.solution import LoadedSolution
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.zygote import Keeper


class Lasting:
    """Keepers and candidates of the solution that was judged last; those of another end when its turn comes.

    There is a keeper per trial, so that what is stopped for one is not within the reach of another.
    """

    def __init__(self) -> None:
        self._solution = ""
        self._homes: dict[int, Keeper] = {}
        self._candidates: dict[int, Candidate] = {}

    def home(self, loaded: LoadedSolution, trial: int, made: Callable[[], Keeper]) -> Keeper:
        """Return the keeper of ``trial``, which ``made`` makes if there is none."""
        if loaded.solution.content_hash != self._solution:
            self.close()
            self._solution = loaded.solution.content_hash
        if trial not in self._homes:
            self._homes[trial] = made()
        return self._homes[trial]

    def candidate(self, loaded: LoadedSolution, trial: int) -> Candidate | None:
        """Return the living candidate of ``trial`` that an earlier workload left."""
        if loaded.solution.content_hash != self._solution:
            return None
        candidate = self._candidates.get(trial)
        return candidate if candidate is not None and candidate.alive else None

    def keep(self, trial: int, candidate: Candidate) -> None:
        """Keep ``candidate``, which lives in the home of ``trial``, for the next workload."""
        self._candidates[trial] = candidate

    def close(self) -> None:
        """End all of them."""
        while self._candidates:
            self._candidates.popitem()[1].kill()
        while self._homes:
            self._homes.popitem()[1].close()
