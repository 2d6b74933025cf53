"""The candidate's serving loop: build, load, compile, attach, run, on request of the judge and in this order.

What it reports is believed only as far as it harms the solution itself: "failed, because …". That an output is
right, and how long it took, is found out on the other side.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    Plan,
)
from pytest_fib.border.order import Order
from pytest_fib.border.wire import Failure, Kind, Message, WireError, receive_with_fds, send
from pytest_fib.build import BuildError, language_module
from pytest_fib.build.sources import PACKAGE
from pytest_fib.candidate.adapter import Kernel, OutputError, bind
from pytest_fib.candidate.memory import Mapping, map_arena, read_only_on_purpose

if TYPE_CHECKING:
    from pytest_fib.build.ahead import Ahead
    from pytest_fib.build.loop import Loop
    from pytest_fib.candidate.cuda import CudaSide

_MAX_TRACEBACK = 16 * 1024
_HARNESS = (
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    "<frozen importlib",
    importlib.__file__,
)
_CACHES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "CUDA_CACHE_PATH")
# Where the sources happen to lie means nothing to a reader of the traceback.
_OWN_FOLDER = re.compile(rf'(?<=File ")[^"\n]*/{PACKAGE}/')


class Worker:
    """Serves one judge over ``sock`` until that closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._order: Order | None = None
        self._kernel: Kernel | None = None
        self._memory: Mapping | None = None
        self._cuda: CudaSide | None = None
        self._ahead: Ahead | None = None
        self._calls: list[tuple[Any, ...]] = []
        self._loop: Loop | None = None

    def serve(self) -> None:
        """Answer requests until the judge is gone."""
        handlers: dict[int, Callable[[Message, list[int]], Message | None]] = {
            Kind.BUILD: self._build,
            Kind.LOAD: self._load,
            Kind.COMPILE: self._compile,
            Kind.ATTACH: self._attach,
            Kind.RUN: self._run,
        }
        while True:
            try:
                message, fds = receive_with_fds(self._sock)
            except WireError:
                return
            answer = handlers[message.kind](message, fds)
            if answer is not None:
                try:
                    send(self._sock, answer)
                except WireError:
                    return

    def _build(self, _message: Message, fds: list[int]) -> Message:
        order = _read_order(fds[0])
        return _guard(lambda: language_module(order).build(order), Failure.COMPILE)

    def _load(self, _message: Message, fds: list[int]) -> Message:
        order = _read_order(fds[0])

        def load() -> str:
            if order.cache_dir:
                os.environ.update({name: f"{order.cache_dir}/{name.lower()}" for name in _CACHES})
            if order.examples:
                self._ahead = importlib.import_module("pytest_fib.build.ahead").Ahead(order)
            module = language_module(order)
            entry = module.load(order)
            self._order = order
            self._kernel = bind(entry, order, module.argument)
            compiled = getattr(module, "loop", None) if self._kernel.destination_passing else None
            self._loop = compiled(order, entry) if compiled is not None else None
            self._forget_calls()
            return self._kernel.remark

        return _guard(load, Failure.COMPILE)

    def _compile(self, _message: Message, fds: list[int]) -> Message:
        """Compile the Triton kernels that a call would launch; the answer is what ``border.ahead`` says it is."""
        kernel, ahead = self._kernel, self._ahead
        if kernel is None or ahead is None:
            return Message(Kind.FAILED, a=Failure.RUNTIME, text="compiling was requested before load")
        return _guard(
            lambda: ahead.compile(kernel.entry, kernel.destination_passing, fds[0]).to_text(), Failure.COMPILE
        )

    def _attach(self, _message: Message, fds: list[int]) -> Message:
        plan_fd, *arena = fds

        def attach() -> None:
            plan = Plan.from_text(_read_all(plan_fd))
            if plan.cuda and self._cuda is None:
                self._cuda = importlib.import_module("pytest_fib.candidate.cuda").CudaSide()
            if self._memory is not None:
                self._memory.leave()
            self._memory = map_arena(plan, arena, self._cuda)
            self._forget_calls()
            for fd in arena:
                os.close(fd)

        return _guard(attach, Failure.RUNTIME)

    def _forget_calls(self) -> None:
        """Have arguments made anew: they are those of one kernel on one memory."""
        self._calls = []
        if self._loop is not None and self._memory is not None:
            self._loop.begin(self._memory.control, self._memory.reply)

    def _run(self, message: Message, _fds: list[int]) -> Message | None:
        """Serve ``message.c`` timed requests of up to ``message.b`` calls, or, if that is 0, one untimed request.

        A timed request waits for the judge's "go", and how many calls it makes is known then and not before.
        """
        kernel, memory = self._kernel, self._memory
        if kernel is None or memory is None:
            return Message(Kind.FAILED, a=Failure.RUNTIME, text="a run was requested before load and attach")
        first, most, timed = message.a, message.b, message.c
        try:
            with read_only_on_purpose():
                while len(self._calls) < most:
                    self._calls.append(kernel.arguments(memory, len(self._calls)))
                    if self._loop is not None:
                        self._loop.add(self._calls[-1])
            if not timed:
                kernel.run(self._calls[: memory.control[CALLS]])
                if memory.cuda is not None:
                    memory.cuda.finish()
                return Message(Kind.DONE)
        except BaseException as error:
            return _failed(error, Failure.RUNTIME)
        requests = range(first, first + timed)
        if memory.cuda is None and self._loop is not None:
            return self._compiled_requests(self._loop, memory, requests)
        for sequence in requests:
            failure = self._timed_request(kernel, memory, sequence)
            if failure is not None:
                return failure
        return None

    def _compiled_requests(self, loop: Loop, memory: Mapping, requests: range) -> Message | None:
        try:
            loop.serve(requests)
        except BaseException as error:
            # Compiled code does not tell at which request it is: at the one that was said "go" to.
            return _failed_at(memory, memory.control[GO], error)
        return None

    def _timed_request(self, kernel: Kernel, memory: Mapping, sequence: int) -> Message | None:
        control, reply = memory.control, memory.reply
        reply[READY] = sequence
        try:
            if memory.cuda is None:
                self._make_calls(kernel, memory, sequence)
            elif not self._enqueued(kernel, memory, memory.cuda, sequence):
                while control[WAKE] != sequence:
                    pass
                memory.cuda.prime()
                self._make_calls(kernel, memory, sequence)
                memory.cuda.finish()
        except BaseException as error:
            return _failed_at(memory, sequence, error)
        reply[DONE] = sequence
        return None

    def _make_calls(self, kernel: Kernel, memory: Mapping, sequence: int) -> None:
        """Wait for "go" and make the calls."""
        calls, control, reply = self._calls, memory.control, memory.reply
        beat = reply[BEAT]
        while control[GO] != sequence:
            beat += 1
            reply[BEAT] = beat  # the judge sees that this process is awake again
        first = control[FIRST]
        kernel.run(calls[first : first + control[CALLS]])

    def _enqueued(self, kernel: Kernel, memory: Mapping, cuda: CudaSide, sequence: int) -> bool:
        """If the judge asks for it, enqueue the calls behind a gate on the stream and see them through.

        The inputs that they will find there do not exist yet. Who has to wait for a result before he can go on
        cannot do that; the judge opens the gate for him.
        """
        control, reply = memory.control, memory.reply
        while control[ENQUEUE] != sequence or memory.gate is None:
            if control[WAKE] == sequence:
                return False
        inner = control[INNER] == sequence
        if inner:
            cuda.watch()
        cuda.wait_at(memory.gate, sequence)
        first, calls = control[FIRST], control[CALLS]
        kernel.run(self._calls[first : first + calls])
        reply[ENQUEUED] = sequence
        cuda.finish()
        if inner:
            reply[CLAIM] = cuda.watched(calls)
        return True


def _read_order(fd: int) -> Order:
    return Order.from_text(_read_all(fd))


def _read_all(fd: int) -> str:
    with open(fd, encoding="utf-8") as file:
        file.seek(0)
        return file.read()


def _guard(action: Callable[[], str | None], kind: Failure) -> Message:
    """Run ``action`` and turn whatever comes out of the solution into a message: this is the process boundary."""
    try:
        return Message(Kind.DONE, text=action() or "")
    except BaseException as error:
        return _failed(error, kind)


def _failed_at(memory: Mapping, sequence: int, error: BaseException) -> Message:
    memory.reply[FAILED] = sequence
    memory.reply[DONE] = sequence
    return _failed(error, Failure.RUNTIME)


def _failed(error: BaseException, kind: Failure) -> Message:
    if isinstance(error, OutputError):
        return Message(
            Kind.FAILED, a=Failure.SHAPE if error.about == "shape" else Failure.DTYPE, text=str(error)
        )
    if isinstance(error, BuildError):
        return Message(Kind.FAILED, a=Failure.COMPILE, text=str(error))
    return Message(Kind.FAILED, a=kind, text=_traceback(error))


def _traceback(error: BaseException) -> str:
    """Format ``error`` from the solution's first frame on; a hostile exception must not break the report of it."""
    try:
        frames = traceback.TracebackException.from_exception(error, limit=-20)
        kept = [frame for frame in frames.stack if not frame.filename.startswith(_HARNESS)]
        frames.stack = traceback.StackSummary.from_list(kept)
        text = "".join(frames.format())
    except BaseException:
        text = f"{type(error).__name__} (its traceback cannot be formatted)"
    text = _OWN_FOLDER.sub("", text)
    return text if len(text) <= _MAX_TRACEBACK else "...\n" + text[-_MAX_TRACEBACK:]
