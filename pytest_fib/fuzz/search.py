"""One search: hypothesis draws shapes, the judge judges them, and what fails is made small."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Unsatisfiable

from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.fuzzing import Failing, Search, Shape
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.fuzz.shapes import Shapes, workload_line

_HOME_OF_GROUPS = "builtins" if sys.version_info >= (3, 11) else "exceptiongroup"
_SEVERAL: type[Exception] = importlib.import_module(_HOME_OF_GROUPS).ExceptionGroup

Kind = tuple[EvaluationStatus, bool]
"""What tells two failures apart: the status, and whether there is nothing of something."""


_DRAWS_PER_SHAPE = 10
"""Many draws are the same shape, because few sizes are edges."""


class _Refused(Exception):
    """A shape is not judged; the message says why."""


class _Fails(Exception):
    """Tells hypothesis that a shape fails; one subclass per kind, because that is how it tells failures apart."""


@dataclass(frozen=True)
class Effort:
    """How long is searched.

    Attributes
    ----------
    shapes
        Different shapes that are judged while none fails.
    seed
        From which hypothesis draws.
    seconds
        After which no further shape is judged, and as many again in which a failing one is made small; building does
        not count.
    slow_seconds
        Shapes are judged only if they are smaller than any on which solution and reference worked longer.
    database
        The folder in which failing shapes are kept, to be tried first next time; None: they are not kept.
    """

    shapes: int
    seed: int
    seconds: float
    slow_seconds: float = 2.0
    database: Path | None = None


def search(
    shapes: Shapes,
    judge: Callable[[Workload], Evaluation],
    answers: Callable[[Workload], bool],
    effort: Effort,
) -> Search:
    """Judge shapes until one fails or there were enough; return the smallest failing one of each kind.

    Parameters
    ----------
    shapes
        What is drawn.
    judge
        Judges a workload; after one that fails, the next one is judged in a fresh process. NotJudgeable and DataError
        are the shape's fault.
    answers
        Whether the reference has an answer to a workload: asked where the solution has none.
    effort
        How long.
    """
    return _Searching(shapes, judge, answers, effort).run()


@dataclass
class _Searching:
    """A search while it goes on.

    A shape has one verdict, whenever it is drawn (a failure, or None for a pass), or one refusal: hypothesis takes
    anything else for a flaky test. What is over stays so.
    """

    shapes: Shapes
    judge: Callable[[Workload], Evaluation]
    answers: Callable[[Workload], bool]
    effort: Effort
    verdicts: dict[object, Failing | None] = field(default_factory=dict)
    refusals: dict[object, _Refused] = field(default_factory=dict)
    kinds: dict[Kind, type[_Fails]] = field(default_factory=dict)
    first: Evaluation | None = None
    only_after: Failing | None = None
    build_seconds: float = 0.0
    before: Shape | None = None  # what the candidate that is kept has judged last
    shrinks: bool = False
    out_of_time: bool = False
    room: float = math.inf
    began: float = 0.0

    def run(self) -> Search:
        """Search."""
        self.began = perf_counter()
        database = self.effort.database
        draw = settings(
            max_examples=_DRAWS_PER_SHAPE * self.effort.shapes,
            database=None if database is None else DirectoryBasedExampleDatabase(database),
            derandomize=False,
            deadline=None,
            phases=(Phase.reuse, Phase.generate, Phase.shrink),
            report_multiple_bugs=True,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )

        @draw  # above the seed, which would take the database away
        @seed(self.effort.seed)
        @given(self.shapes.strategy())
        def every_shape_passes(shape: Shape) -> None:
            self._try(shape)

        # What failed is known here without hypothesis, and so is why nothing could be judged.
        with suppress(_Fails, _SEVERAL, Unsatisfiable):
            every_shape_passes()
        judged, self.shrinks = len(self.verdicts), True
        failing = self._failing()
        return Search(
            wanted=self.effort.shapes,
            judged=judged,
            failing=failing,
            first=self.first,
            refused=str(next(reversed(self.refusals.values()), "")),
            out_of_time=self.out_of_time,
            seconds=perf_counter() - self.began,
        )

    def _try(self, shape: Shape) -> None:
        """Let hypothesis know the verdict of ``shape``.

        It knows nothing of empty shapes that fail: otherwise, where such failures are expected, it would find one
        first each time and look no further.
        """
        try:
            failing = self._verdict(shape)
        except _Refused:
            reject()
        if failing is not None and not shape.empty:
            raise self.kinds.setdefault(_kind(failing), type("_Fails", (_Fails,), {}))

    def _verdict(self, shape: Shape) -> Failing | None:
        """Return the failure of ``shape``, or None if it passes; _Refused if it cannot be judged."""
        if shape.order in self.refusals:
            raise self.refusals[shape.order]
        if shape.order not in self.verdicts and not self._is_over():
            try:
                self.verdicts[shape.order] = self._examined(shape)
            except (_Refused, NotJudgeable, DataError) as reason:
                self.refusals[shape.order] = _Refused(str(reason))
                raise self.refusals[shape.order] from None
        return self.verdicts.get(shape.order)

    def _is_over(self) -> bool:
        """Whether nothing more is judged, and hypothesis is made to believe that all the rest passes."""
        shrinks = self.shrinks or bool(self.kinds)
        if not self.verdicts or (len(self.verdicts) >= self.effort.shapes and not shrinks):
            return bool(self.verdicts)
        spent = perf_counter() - self.began - self.build_seconds
        self.out_of_time = spent > self.effort.seconds * (2 if shrinks else 1)
        return self.out_of_time

    def _examined(self, shape: Shape) -> Failing | None:
        if self.shapes.nbytes(shape.axes) >= self.room:
            raise _Refused("it would take too long")
        workload = self.shapes.workload(shape)
        evaluation = self._judged(shape, workload)
        before, self.before = self.before, shape if evaluation.passed else None
        if not evaluation.passed and not self.answers(workload):
            raise _Refused("the reference has no answer")
        self.first = self.first or evaluation
        if evaluation.passed:
            return None
        line = workload_line(self.shapes.definition.name, workload)
        if before is None:
            return Failing(shape, evaluation, line)
        again = self._judged(shape, workload)
        if not again.passed:
            return Failing(shape, again, line)
        self.only_after = self.only_after or Failing(shape, evaluation, line, before)
        self.before = shape
        return None

    def _judged(self, shape: Shape, workload: Workload) -> Evaluation:
        evaluation = self.judge(workload)
        self.build_seconds += evaluation.build_seconds
        working = evaluation.wall_seconds - evaluation.overhead_seconds - evaluation.build_seconds
        if working > self.effort.slow_seconds:
            self.room = min(self.room, self.shapes.nbytes(shape.axes))
        return evaluation

    def _failing(self) -> tuple[Failing, ...]:
        """Return the smallest failure of each kind."""
        failing = [verdict for verdict in self.verdicts.values() if verdict is not None]
        kinds = dict.fromkeys(map(_kind, failing))
        found = [
            self._smallest(min((one for one in failing if _kind(one) == kind), key=_order)) for kind in kinds
        ]
        found.sort(key=lambda one: one.shape.empty)
        return tuple(found) or (() if self.only_after is None else (self.only_after,))

    def _smallest(self, failing: Failing) -> Failing:
        """Make each axis by itself as small as it can be: hypothesis takes larger steps and misses odd sizes."""
        while True:
            smaller = next(self._smaller(failing), None)
            if smaller is None:
                return failing
            failing = smaller

    def _smaller(self, failing: Failing) -> Iterator[Failing]:
        for shape in self.shapes.smaller(failing.shape):
            with suppress(_Refused):
                other = self._verdict(shape)
                if other is not None and _kind(other) == _kind(failing):
                    yield other


def _order(failing: Failing) -> tuple[bool, tuple[int, ...]]:
    return failing.shape.order


def _kind(failing: Failing) -> Kind:
    return failing.evaluation.status, failing.shape.empty
