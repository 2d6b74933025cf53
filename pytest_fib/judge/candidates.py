"""The candidates of one solution on one workload, and those of the judge's own beside it: who lives, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from pytest_fib.border.idle import Work
from pytest_fib.border.order import Order
from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.text import escape
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.candidate import Candidate
from pytest_fib.judge.orders import calls_are_compiled, idle_order, order_for, order_of_ours
from pytest_fib.judge.zygote import Keeper

if TYPE_CHECKING:
    from pytest_fib.judge.session import JudgeSession

_MOST_KEPT_BYTES = 256 << 20
_LOAD_S = 60.0  # for what is the judge's own


class Candidates:
    """Starts, keeps and ends candidates.

    Parameters
    ----------
    optional
        Outputs that the solution may leave out.
    remark
        Is told what loading a solution had to say.
    may_last
        Whether a candidate may serve more than it was started for, where that is how things are done.

    Attributes
    ----------
    keeps
        Whether candidates outlive this workload.
    last
        Whether one candidate serves all calls of this workload.
    output
        What the latest of them printed.
    """

    def __init__(
        self,
        session: JudgeSession,
        definition: Definition,
        loaded: LoadedSolution,
        optional: tuple[str, ...],
        remark: Callable[[str], None],
        may_last: bool = True,
    ) -> None:
        self._session = session
        self._definition = definition
        self._loaded = loaded
        self._optional = optional
        self._remark = remark
        self.keeps = may_last and session.config.isolation == "solution"
        self.last = may_last and session.place.candidates_last
        self.output = ""
        self.idle_artifact = ""  # of idle calls that go the way of this solution's; empty if Python's do
        self._artifact_dir = ""
        self._lasting: Candidate | None = None
        self._forked: Candidate | None = None  # ahead: it locks itself in while the judge verifies

    def build(self) -> float:
        """Build the solution, and the judge's own calls that go its way; return the seconds that the former took.

        Raises
        ------
        CandidateError
            If the solution does not compile.
        """
        self._artifact_dir, seconds = self._session.build(self._definition, self._loaded)
        if calls_are_compiled(self._loaded.solution):
            self.idle_artifact = self._session.compiled_idle(self._definition)
        return seconds

    def home(self) -> AbstractContextManager[Keeper]:
        """Yield what the candidates of this workload are forked by."""
        if self.keeps:
            return nullcontext(self._session.lasting_home(self._loaded, self._artifact_dir, 0))
        return self._session.home(
            self._loaded,
            artifact_dir=self._artifact_dir,
            build_dir=self._session.compiled_by(self._loaded),
        )

    @contextmanager
    def attached(self, keeper: Keeper, arena: Arena, trial: int) -> Iterator[Candidate]:
        """Yield a candidate that has loaded the solution and mapped ``arena``; what it printed is kept."""
        session, loaded = self._session, self._loaded
        keep = self.keeps
        if keep:
            keeper = session.lasting_home(loaded, self._artifact_dir, trial)
        candidate = session.lasting.candidate(loaded, trial) if keep else self._lasting
        if candidate is not None and not candidate.alive:
            candidate = None
        self._lasting = None
        lasts = not keep and self.last
        fresh = candidate is None
        if candidate is None:
            candidate = self._forked or session.start(keeper)
            self._forked = None
        try:
            if fresh:
                with session.artifacts.failure_remembered(loaded.solution):
                    remark = candidate.load(self._order(), session.config.limits.build_timeout_s)
                self._remark(escape(remark))
                session.sandbox = candidate.sandbox()
            candidate.attach(arena)
            candidate.settle()
            yield candidate
        except BaseException:
            keep = lasts = False
            raise
        finally:
            if keep:
                session.lasting.keep(trial, candidate)
            elif lasts:
                self._lasting = candidate
            else:
                candidate.kill()
            self.output = candidate.output.text() or self.output

    def prepare_next(self, keeper: Keeper) -> None:
        """Have the next candidate started, and the next workload's home made, where each trial has its own."""
        if not (self.keeps or self.last):
            self._session.expect_home(self._loaded, self._artifact_dir)
            self._forked = self._session.start(keeper)

    def idle(self, work: Work, arena: Arena) -> AbstractContextManager[Candidate]:
        """Yield a candidate of the judge's own that does nothing but ``work``, attached to ``arena``."""
        order = idle_order(self._order(), work, self.idle_artifact)
        nbytes = arena.plan.inputs.nbytes + arena.plan.outputs.nbytes
        # One that waits for the next workload has a context on the device, and the memory of this one.
        if self._session.place.is_device or nbytes > _MOST_KEPT_BYTES:
            return self._ours(order, arena)
        return self._session.idler(self._loaded, order, arena)

    def trusted(self, source: str, arena: Arena) -> AbstractContextManager[Candidate]:
        """Yield a candidate that has loaded ``source``, which is the judge's own, and mapped ``arena``."""
        return self._ours(order_of_ours(self._order(), source), arena)

    @contextmanager
    def _ours(self, order: Order, arena: Arena) -> Iterator[Candidate]:
        candidate = self._session.start(self._session.trusted_home(self._loaded, order.artifact_dir))
        try:
            candidate.load(order, _LOAD_S)
            candidate.attach(arena)
            yield candidate
        finally:
            candidate.kill()
            candidate.settle()  # what is measured next has the machine for itself

    def end(self) -> None:
        """End those that are left of this workload."""
        for left in (self._lasting, self._forked):
            if left is not None:
                left.kill()

    def _order(self) -> Order:
        return order_for(
            self._definition,
            self._loaded.solution,
            artifact_dir=self._artifact_dir,
            threads=self._session.threads,
            device=self._session.config.device,
            optional=self._optional,
            cache_dir=self._session.compiled_by(self._loaded),
        )
