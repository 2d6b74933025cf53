"""The candidates that show the hand-over: the judge's own, so one lasts for all workloads that it fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_fib.border.order import Order
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.zygote import Keeper

_LOAD_S = 60.0


@dataclass
class _Idler:
    candidate: Candidate
    order: Order
    arena: Arena


class Idlers:
    """One candidate per keeper, stopped while it is not wanted."""

    def __init__(self) -> None:
        self._known: dict[Keeper, _Idler] = {}

    @contextmanager
    def serving(
        self, keeper: Keeper, start: Callable[[Keeper], Candidate], order: Order, arena: Arena
    ) -> Iterator[Candidate]:
        """Yield the candidate of ``keeper``, with the calls of ``order``, attached to ``arena``."""
        idler = self._known.pop(keeper, None)
        candidate = start(keeper) if idler is None else idler.candidate
        try:
            if idler is not None:
                candidate.resume()
            if idler is None or idler.order != order:
                candidate.load(order, _LOAD_S)
            if idler is None or idler.arena is not arena:
                candidate.attach(arena)
                candidate.await_attached(_LOAD_S)
            yield candidate
            candidate.stop()
        except BaseException:
            candidate.kill()
            raise
        self._known[keeper] = _Idler(candidate, order, arena)

    def close(self) -> None:
        """End all of them."""
        while self._known:
            self._known.popitem()[1].candidate.kill()
