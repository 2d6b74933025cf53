"""One candidate as the judge sees it: requests with deadlines, and the clock around a timed one."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

from pytest_fib.border.ahead import Compiled
from pytest_fib.border.arena import (
    BEAT,
    CALLS,
    CLAIM,
    DONE,
    ENQUEUE,
    ENQUEUED,
    FAILED,
    FIRST,
    GO,
    INNER,
    READY,
    WAKE,
)
from pytest_fib.border.order import Order
from pytest_fib.border.wire import Kind, Message
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.memory import memory_file_of_text
from pytest_fib.judge.process import Process
from pytest_fib.judge.zygote import Keeper

_SPINS = 256  # about 10 µs between two looks at the clock
_LOOK_AROUND_NS = 500_000  # between two looks at the candidate's output and health while it runs


class CannotGate(Exception):
    """A solution cannot enqueue its work without waiting for some of it; the candidate has served that request."""


@dataclass(frozen=True)
class Interval:
    """Nanoseconds of one request: from "go" to "done", and before it from the wake to "go"."""

    elapsed: int
    lead: int = 0


class Candidate(Process):
    """A candidate's process, and the requests that it serves."""

    def __init__(self, keeper: Keeper, memory_bytes: int, cores: set[int] | None) -> None:
        super().__init__(keeper, memory_bytes, cores)
        # Several candidates take turns with one arena, in which the numbers of none may mean anything to another.
        self._sequence = secrets.randbelow(1 << 30)
        self._arena: Arena | None = None
        self._attaching = False
        self._looked = 0

    def build(self, order: Order, timeout_s: float) -> None:
        """Have the candidate compile the solution."""
        self._order(Kind.BUILD, order, timeout_s, "building")

    def load(self, order: Order, timeout_s: float) -> str:
        """Have the candidate import the solution; return its remark on the calling convention, untrusted text."""
        return self._order(Kind.LOAD, order, timeout_s, "loading").text

    def compile(self, note: int, timeout_s: float) -> Compiled:
        """Have the candidate, which was loaded with examples, compile the Triton kernels that it would launch.

        Parameters
        ----------
        note
            A memory file where it says which kernel it is at.

        Raises
        ------
        CandidateError
            If a kernel does not compile.
        """
        self.tell(Message(Kind.COMPILE), "compiling", (note,))
        answer = self.expect(time.monotonic() + timeout_s, timeout_s, "compiling")
        try:
            return Compiled.from_text(answer.text)
        except ValueError:
            raise CandidateError(
                "integrity: the candidate says of its kernels what no candidate of ours says"
            ) from None

    def attach(self, arena: Arena) -> None:
        """Have the candidate map ``arena``; that it did is seen when it has been armed or has run."""
        self.resume()
        plan = memory_file_of_text(arena.plan.to_text())
        try:
            self.tell(Message(Kind.ATTACH), "attaching memory", (plan, *arena.fds))
        finally:
            os.close(plan)
        self._attaching = True
        self._arena = arena

    def await_attached(self, timeout_s: float) -> None:
        """Wait until the candidate has mapped what it was attached to."""
        self._attached_by(time.monotonic() + timeout_s, timeout_s)

    def run(self, calls: int, most: int, timeout_s: float) -> Interval:
        """Make ``calls`` calls without a clock worth reading: it runs from request to answer."""
        arena = self._attached()
        arena.control[CALLS] = calls
        self._attached_by(time.monotonic() + timeout_s, timeout_s)
        start = time.perf_counter_ns()
        self.tell(Message(Kind.RUN, b=most), "running")
        self.expect(time.monotonic() + timeout_s, timeout_s, "running")
        return Interval(time.perf_counter_ns() - start)

    def call_up(self, requests: int, most: int) -> None:
        """Have the candidate get ready for ``requests`` timed requests of up to ``most`` calls each; see ``arm``."""
        self.tell(Message(Kind.RUN, a=self._sequence + 1, b=most, c=requests), "running")
        self.resume()

    def arm(self, timeout_s: float) -> None:
        """Wait until the candidate that was called up is ready, and leave it stopped."""
        deadline = time.monotonic() + timeout_s
        self._spin(READY, self._sequence + 1, deadline, timeout_s)
        self._attached_by(deadline, timeout_s)
        self.stop()

    def enqueue(self, calls: range, patience_s: float, timeout_s: float, inner: bool = False) -> None:
        """Have the armed, stopped candidate enqueue its next request on the device, behind a gate that "go" opens.

        Parameters
        ----------
        calls
            The sets to use.
        patience_s
            How long enqueuing may take.
        timeout_s
            How long the calls may take where the gate has to be opened early.
        inner
            Whether the candidate is to time these calls as well, see ``claim``.

        Raises
        ------
        CannotGate
            If it does not come back from that: the solution waits for results, or the device's queue is full.
        """
        arena = self._attached()
        control, reply, sequence = arena.control, arena.reply, self._sequence + 1
        control[FIRST], control[CALLS] = calls.start, len(calls)
        control[INNER] = sequence if inner else 0
        control[ENQUEUE] = sequence
        self.resume()
        deadline = time.monotonic() + min(timeout_s, patience_s)
        while reply[ENQUEUED] != sequence:
            if self.look_around(0, "running"):
                self.kill()
                raise CannotGate
            if time.monotonic() > deadline:
                self._let_through(timeout_s)
                raise CannotGate
        self.stop()

    def _let_through(self, timeout_s: float) -> None:
        """Open the gate of the request that is being enqueued, whatever its inputs are, and see it through."""
        control = self._attached().control
        self._sequence += 1
        control[GO] = control[WAKE] = self._sequence
        self._spin(DONE, self._sequence, time.monotonic() + timeout_s, timeout_s)
        self.stop()

    @property
    def claim(self) -> float:
        """Nanoseconds of one call of the last request, as a clock in the candidate's process has them; 0: unknown.

        This is what the solution says, if it wants to.
        """
        return self._attached().reply[CLAIM] / 1000

    def run_timed(
        self,
        calls: range,
        timeout_s: float,
        sample: Callable[[], object],
        early: bool,
    ) -> Interval:
        """Serve one armed request of the stopped candidate; the clock runs from "go" to "done".

        ``calls`` are the sets to use, one per call; the candidate learns them with "go". ``sample`` reads secret
        positions of the outputs as soon as the clock is read, so that work which is not finished at "done" is work
        that was not done. (Whoever says "done" early is seen by the sample alone. Its time, which depends on whose
        caches the outputs are in, is better left out of the interval.)

        Usually the candidate is woken first and spins when "go" comes; what is enqueued on a device spins there.
        With ``early``, "go" is there when it wakes and the clock starts at the wake: whoever starts to work when he
        is woken and not at "go" gains nothing then. Nor does he who says "done" while a device is at work for him
        still: the clock stops when it no longer is.
        """
        arena = self._attached()
        self._sequence += 1
        sequence, control, reply = self._sequence, arena.control, arena.reply
        deadline = time.monotonic() + timeout_s
        control[FIRST], control[CALLS] = calls.start, len(calls)
        beat = reply[BEAT]
        if early:
            control[GO] = sequence
        woken = start = time.perf_counter_ns()
        control[WAKE] = sequence
        self.resume()
        if not early:
            self._spin_while(BEAT, beat, deadline, timeout_s)
            start = time.perf_counter_ns()
            control[GO] = sequence
        self._spin(DONE, sequence, deadline, timeout_s)
        if early:
            arena.await_idle()
        elapsed = time.perf_counter_ns() - start
        sample()
        if reply[FAILED] == sequence:
            self.expect(deadline, timeout_s, "running")
        self.stop()
        return Interval(elapsed, start - woken)

    def _attached_by(self, deadline: float, timeout_s: float) -> None:
        """Wait for the answer to ``attach`` if it has not been read yet."""
        if self._attaching:
            self._attaching = False
            self.expect(deadline, timeout_s, "attaching memory")

    def _attached(self) -> Arena:
        if self._arena is None:
            raise RuntimeError("run before attach")
        return self._arena

    def _order(self, kind: Kind, order: Order, timeout_s: float, doing: str) -> Message:
        fd = memory_file_of_text(order.to_text())
        try:
            self.tell(Message(kind), doing, (fd,))
        finally:
            os.close(fd)
        return self.expect(time.monotonic() + timeout_s, timeout_s, doing)

    def _spin(self, word: int, sequence: int, deadline: float, timeout_s: float) -> None:
        """Wait until the reply word is ``sequence``, with eyes on the output pipe and on the process's health."""
        reply = self._attached().reply
        while True:
            for _ in repeat(None, _SPINS):
                if reply[word] == sequence:
                    return
            self._mind(deadline, timeout_s, lambda: reply[word] == sequence)

    def _spin_while(self, word: int, value: int, deadline: float, timeout_s: float) -> None:
        """Wait until the reply word is no longer ``value``."""
        reply = self._attached().reply
        while True:
            for _ in repeat(None, _SPINS):
                if reply[word] != value:
                    return
            self._mind(deadline, timeout_s, lambda: reply[word] != value)

    def _mind(self, deadline: float, timeout_s: float, done: Callable[[], bool]) -> None:
        """Now and then while waiting: see to output, a death, a failure, the deadline."""
        now = time.perf_counter_ns()
        if now - self._looked < _LOOK_AROUND_NS:
            return
        self._looked = now
        if time.monotonic() > deadline:
            self.time_out(timeout_s, "running")
        if self.look_around(0, "running") and not done():
            if self._attaching:
                self._attached_by(deadline, timeout_s)
                return
            # A message instead of a word: the request failed before it could be timed.
            self.expect(deadline, timeout_s, "running")
            raise CandidateError("the candidate answered a timed request without running it")
