"""One candidate as the judge sees it: requests with deadlines, and the clock around a timed one."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

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
from pytest_fib.border.wire import Failure, Kind, Message, WireError, pair, receive, send
from pytest_fib.judge.arena import Arena
from pytest_fib.judge.failures import (
    STATUS_OF,
    CandidateDied,
    CandidateError,
    CandidateTimeout,
    IntegrityViolation,
)
from pytest_fib.judge.freezer import Freezer
from pytest_fib.judge.memory import memory_file_of_text
from pytest_fib.judge.output import Output
from pytest_fib.judge.zygote import Keeper

_SPINS = 256  # about 10 µs between two looks at the clock
_LOOK_AROUND_NS = 500_000  # between two looks at the candidate's output and health while it runs
_DRAIN_MS = 50


class CannotGate(Exception):
    """A solution cannot enqueue its work without waiting for some of it; the candidate has served that request."""


@dataclass(frozen=True)
class Interval:
    """Nanoseconds of one request: from "go" to "done", and before it from the wake to "go"."""

    elapsed: int
    lead: int = 0


class Candidate:
    """A forked candidate process, from the judge's side of the border."""

    def __init__(self, keeper: Keeper, memory_bytes: int, cores: set[int] | None) -> None:
        self._keeper = keeper
        self.output = Output()
        self._sock, theirs = pair()
        with theirs:
            self.pid = keeper.fork(theirs, self.output.write_end, memory_bytes, cores)
        self.output.close_write_end()
        self._poll = select.poll()
        for fd in (self._sock.fileno(), self.output.fileno, keeper.fileno):
            self._poll.register(fd, select.POLLIN)
        self._output_open = True
        # Several candidates take turns with one arena, in which the numbers of none may mean anything to another.
        self._sequence = secrets.randbelow(1 << 30)
        self._arena: Arena | None = None
        self._attaching = False
        self._freezer: Freezer | None = None
        self._host_pid = -1
        self.alive = True
        self.layers = ""
        self._looked = 0

    def build(self, order: Order, timeout_s: float) -> None:
        """Have the candidate compile the solution."""
        self._order(Kind.BUILD, order, timeout_s, "building")

    def load(self, order: Order, timeout_s: float) -> str:
        """Have the candidate import the solution; return its remark on the calling convention, untrusted text."""
        return self._order(Kind.LOAD, order, timeout_s, "loading").text

    def sandbox(self) -> tuple[tuple[str, bool, str], ...]:
        """Return the layers of the sandbox: name, whether it holds, and why not (or a remark)."""
        return tuple(
            (str(name), bool(active), str(reason)) for name, active, reason in json.loads(self.layers)
        )

    def attach(self, arena: Arena) -> None:
        """Have the candidate map ``arena``; that it did is seen when it has been armed or has run."""
        self.resume()
        plan = memory_file_of_text(arena.plan.to_text())
        try:
            send_checked(self._sock, Message(Kind.ATTACH), (plan, *arena.fds))
        except WireError:
            raise self._death("attaching memory") from None
        finally:
            os.close(plan)
        self._attaching = True
        self._arena = arena

    def run(self, calls: int, most: int, timeout_s: float) -> Interval:
        """Make ``calls`` calls without a clock worth reading: it runs from request to answer."""
        arena = self._attached()
        arena.control[CALLS] = calls
        self._attached_by(time.monotonic() + timeout_s, timeout_s)
        start = time.perf_counter_ns()
        self._send(Message(Kind.RUN, b=most), "running")
        self._expect(time.monotonic() + timeout_s, timeout_s, "running")
        return Interval(time.perf_counter_ns() - start)

    def call_up(self, requests: int, most: int) -> None:
        """Have the candidate get ready for ``requests`` timed requests of up to ``most`` calls each; see ``arm``."""
        self._send(Message(Kind.RUN, a=self._sequence + 1, b=most, c=requests), "running")
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
            if self._look_around(0, "running"):
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
            self._expect(deadline, timeout_s, "running")
        self.stop()
        return Interval(elapsed, start - woken)

    def stop(self) -> None:
        """Stop every process of this candidate's keeper, whichever trial it belongs to.

        Raises
        ------
        IntegrityViolation
            If they do not stop.
        """
        if not self._frozen_by().stop(self._host_pid):
            self.kill()
            raise IntegrityViolation("processes of the candidate multiply or do not stop between requests")

    def resume(self) -> None:
        """Let this candidate run, whoever stopped it; candidates of other trials stay stopped."""
        self._frozen_by().resume(self._host_pid)

    def settle(self) -> None:
        """Wait until those that were killed before are gone, so that nothing but this candidate runs."""
        self._keeper.settle()

    def kill(self) -> None:
        """End the process and keep what it printed; it may take its time to go, see ``settle``."""
        if self.alive:
            self.alive = False
            self._keeper.kill(self.pid)
            if self._freezer is not None:
                self._freezer.close()
            self.output.drain()
            self._sock.close()
            self.output.close()

    def _attached_by(self, deadline: float, timeout_s: float) -> None:
        """Wait for the answer to ``attach`` if it has not been read yet."""
        if self._attaching:
            self._attaching = False
            self._expect(deadline, timeout_s, "attaching memory")

    def _frozen_by(self) -> Freezer:
        if self._freezer is None:
            raise RuntimeError("stop or resume before load")
        return self._freezer

    def _attached(self) -> Arena:
        if self._arena is None:
            raise RuntimeError("run before attach")
        return self._arena

    def _order(self, kind: Kind, order: Order, timeout_s: float, doing: str) -> Message:
        fd = memory_file_of_text(order.to_text())
        try:
            send_checked(self._sock, Message(kind), (fd,))
        except WireError:
            raise self._death(doing) from None
        finally:
            os.close(fd)
        return self._expect(time.monotonic() + timeout_s, timeout_s, doing)

    def _send(self, message: Message, doing: str) -> None:
        try:
            send_checked(self._sock, message)
        except WireError:
            raise self._death(doing) from None

    def _expect(self, deadline: float, timeout_s: float, doing: str) -> Message:
        """Wait for the answer to the request in flight."""
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self._timeout(timeout_s, doing)
            if not self._look_around(remaining * 1000, doing):
                continue
            try:
                message = receive(self._sock)
            except WireError:
                raise self._death(doing) from None
            if message.kind == Kind.READY and not self.layers:
                # Its first words, before it has seen anything of the solution: the layers of its sandbox.
                self.layers = message.text
                self._freezer = self._keeper.freezer()
                self._host_pid = self._freezer.find(self.pid)
                continue
            if message.kind == Kind.DONE:
                return message
            raise _failure_of(message)

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
            self._timeout(timeout_s, "running")
        if self._look_around(0, "running") and not done():
            if self._attaching:
                self._attached_by(deadline, timeout_s)
                return
            # A message instead of a word: the request failed before it could be timed.
            self._expect(deadline, timeout_s, "running")
            raise CandidateError("the candidate answered a timed request without running it")

    def _look_around(self, timeout_ms: float, doing: str) -> bool:
        """Drain output, notice a death; return whether a message of the candidate is waiting."""
        waiting = False
        for fd, _event in self._poll.poll(timeout_ms):
            if fd == self._sock.fileno():
                waiting = True
            elif fd == self.output.fileno:
                if not self.output.drain():
                    self._poll.unregister(fd)
            elif self._keeper.exit_status(self.pid, timeout_s=0) is not None and not waiting:
                raise self._death(doing)
        return waiting

    def _timeout(self, timeout_s: float, doing: str) -> None:
        self.kill()
        raise CandidateTimeout(
            f"{doing} took longer than the limit of {timeout_s:g} s: the candidate was killed"
        )

    def _death(self, doing: str) -> CandidateDied:
        # The end of the socket can be seen before the end of the process.
        status = self._keeper.exit_status(self.pid, timeout_s=5.0)
        self.kill()
        return CandidateDied(f"the candidate process {_describe(status)} while {doing}")


def send_checked(sock: object, message: Message, fds: tuple[int, ...] = ()) -> None:
    """Send; a closed socket object counts as a candidate that is gone."""
    try:
        send(sock, message, fds)  # type: ignore[arg-type]
    except OSError as error:
        raise WireError(str(error)) from error


def _failure_of(message: Message) -> Exception:
    if message.kind != Kind.FAILED or message.a not in list(Failure):
        return CandidateError("integrity: the candidate sent a message that no candidate of ours sends")
    return CandidateError(message.text, STATUS_OF[Failure(message.a)])


def _describe(status: int | None) -> str:
    if status is None:
        return "closed its connection"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        hint = " (inputs are mapped read-only: writing to one faults)" if number == signal.SIGSEGV else ""
        return f"was killed by {name}{hint}"
    return f"exited with code {os.WEXITSTATUS(status)}"
