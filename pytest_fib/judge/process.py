"""A candidate's process, from the judge's side: messages with deadlines, what it prints, stopping it, its death."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from typing import NoReturn

from pytest_fib.border.wire import Failure, Kind, Message, WireError, pair, receive, send
from pytest_fib.errors import FibError
from pytest_fib.judge.failures import (
    STATUS_OF,
    CandidateDied,
    CandidateError,
    CandidateTimeout,
    IntegrityViolation,
)
from pytest_fib.judge.freezer import Freezer
from pytest_fib.judge.output import Output
from pytest_fib.judge.zygote import Keeper

_LAST_WORDS_S = 5.0

# What people meet who did not do it on purpose.
_FAULT = (
    " (inputs are mapped read-only: writing to one faults; so does returning an error from a plain function of "
    "TVM-FFI without setting it)"
)


class Process:
    """A process forked by ``keeper``; ``layers`` are the first words of it: its sandbox, as JSON."""

    def __init__(self, keeper: Keeper, memory_bytes: int, cores: set[int] | None) -> None:
        self._keeper = keeper
        self.output = Output()
        self._sock, theirs = pair()
        with theirs:
            self._forked = keeper.fork(theirs, self.output.write_end, memory_bytes, cores)
        self.output.close_write_end()
        self._poll = select.poll()
        for fd in (self._sock.fileno(), self.output.fileno, keeper.fileno):
            self._poll.register(fd, select.POLLIN)
        self._freezer: Freezer | None = None
        self._host_pid = -1
        self.alive = True
        self.layers = ""

    @property
    def pid(self) -> int:
        """The process id, as the keeper sees it."""
        return self._forked.pid

    def sandbox(self) -> tuple[tuple[str, bool, str], ...]:
        """Return the layers of the sandbox: name, whether it holds, and why not (or a remark)."""
        return tuple(
            (str(name), bool(active), str(reason)) for name, active, reason in json.loads(self.layers)
        )

    def tell(self, message: Message, doing: str, fds: tuple[int, ...] = ()) -> None:
        """Send a message, with descriptors if there are any.

        Raises
        ------
        CandidateDied
            If the process is gone; the sentence says that it was ``doing`` something.
        """
        try:
            send(self._sock, message, fds)
        except (WireError, OSError):  # OSError: the judge has closed its own end, for it killed the process
            raise self._death(doing) from None

    def expect(self, deadline: float, timeout_s: float, doing: str) -> Message:
        """Wait for the answer to the request in flight, until ``deadline`` on the monotonic clock.

        Raises
        ------
        CandidateError
            If the answer is a failure, or the process dies, or does not answer within ``timeout_s``.
        """
        while True:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                self.time_out(timeout_s, doing)
            if not self.look_around(remaining * 1000, doing):
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

    def look_around(self, timeout_ms: float, doing: str) -> bool:
        """Drain output, notice a death; return whether a message of the process is waiting."""
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

    def time_out(self, timeout_s: float, doing: str) -> NoReturn:
        """Kill the process for not answering within ``timeout_s``; raises CandidateTimeout."""
        self.kill()
        raise CandidateTimeout(
            f"{doing} took longer than the limit of {timeout_s:g} s: the candidate was killed"
        )

    def stop(self) -> None:
        """Stop every process of this one's keeper, whichever trial it belongs to.

        Raises
        ------
        IntegrityViolation
            If they do not stop.
        """
        if not self._frozen_by().stop(self._host_pid):
            self.kill()
            raise IntegrityViolation("processes of the candidate multiply or do not stop between requests")

    def resume(self) -> None:
        """Let this process run, whoever stopped it; those of other trials stay stopped."""
        self._frozen_by().resume(self._host_pid)

    def mark(self) -> None:
        """Remember how long those that are stopped have run, see ``held``."""
        self._frozen_by().mark()

    def held(self) -> bool:
        """Whether none of those that were stopped at ``mark`` has run since."""
        return self._frozen_by().held()

    def settle(self) -> None:
        """Wait until those that were killed before are gone, so that nothing but this process runs."""
        self._keeper.settle()

    def kill(self) -> None:
        """End the process and keep what it printed; it may take its time to go, see ``settle``."""
        if self.alive:
            self.alive = False
            with contextlib.suppress(FibError):  # if who forks is gone, everybody is
                self._keeper.kill(self.pid)
            if self._freezer is not None:
                self._freezer.close()
            self.output.drain()
            self._sock.close()
            self.output.close()

    def _frozen_by(self) -> Freezer:
        if self._freezer is None:
            raise RuntimeError("stop or resume before load")
        return self._freezer

    def _death(self, doing: str) -> CandidateDied:
        # The end of the socket can be seen before the end of the process.
        status = self._keeper.exit_status(self.pid, timeout_s=_LAST_WORDS_S)
        self.kill()
        return CandidateDied(f"the candidate process {_describe(status)} while {doing}")


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
        hint = _FAULT if number == signal.SIGSEGV else ""
        return f"was killed by {name}{hint}"
    return f"exited with code {os.WEXITSTATUS(status)}"
