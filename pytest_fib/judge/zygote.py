"""Starting candidates: a zygote process per environment, a fork of it per candidate.

The zygote is ``exec``ed with an environment made here from scratch (clearing ``os.environ`` in place would leave
the old one readable in ``/proc/self/environ``) and imports what solutions need; a fork of it is ready in
milliseconds where a fresh Python with torch takes more than a second.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pytest_fib
from pytest_fib.border.order import Confinement
from pytest_fib.border.wire import Kind, Message, WireError, pair, receive, send
from pytest_fib.errors import FibError
from pytest_fib.judge.freezer import Freezer, children
from pytest_fib.judge.memory import memory_file_of_text

_START_TIMEOUT_S = 120.0
_SETTLE_S = 10.0
_BOOT = (
    "import sys; sys.path.extend(sys.argv.pop(1).split(':')); "
    "from pytest_fib.candidate.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
_PASSED_ON = ("LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "CC", "CXX", "TVM_FFI_CUDA_ARCH_LIST")

# In the private folder of one keeper: what one trial compiled, the next need not compile again.
_COMPILER_CACHES = {
    "TRITON_CACHE_DIR": "/tmp/.triton",
    "TORCHINDUCTOR_CACHE_DIR": "/tmp/.inductor",
    "CUDA_CACHE_PATH": "/tmp/.cuda",
}


@dataclass(frozen=True)
class ZygoteKind:
    """What distinguishes one zygote from another: what it has imported and on which device it will work."""

    modules: tuple[str, ...]
    interpret_triton: bool
    threads: int
    visible: str = ""  # the one CUDA device that its candidates see; empty for the CPU
    architecture: str = ""  # what CUDA sources are compiled for; empty: as the user's environment says

    def environment(self) -> dict[str, str]:
        """Return the whole environment of the zygote and so of its candidates."""
        threads = str(self.threads)
        environment = {
            "PATH": search_path(),
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        if self.interpret_triton:
            environment["TRITON_INTERPRET"] = "1"
        else:
            environment.update(_COMPILER_CACHES)
        environment.update({name: os.environ[name] for name in _PASSED_ON if name in os.environ})
        if self.visible:
            environment["CUDA_VISIBLE_DEVICES"] = self.visible
        if self.architecture:
            environment.setdefault("TVM_FFI_CUDA_ARCH_LIST", self.architecture)
        return environment


class Forked:
    """A process that a server was asked to fork; the judge does something else until it wants to know who it is."""

    def __init__(self, server: ForkServer) -> None:
        self._server = server
        self.answer: int | None = None

    @property
    def pid(self) -> int:
        """The process id, as the server sees it.

        Raises
        ------
        FibError
            If the server is gone.
        """
        while self.answer is None:
            self._server.listen()
        return self.answer


class ForkServer:
    """A process of ours that forks others on request: a zygote or a keeper, seen from the judge."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._exits: dict[int, int] = {}
        self._dying: set[int] = set()
        self._asked: deque[Forked] = deque()

    @property
    def fileno(self) -> int:
        """The descriptor that becomes readable when a child exits."""
        return self._sock.fileno()

    def kill(self, pid: int) -> None:
        """Kill child ``pid``; ``settle`` waits for the end of all that were killed."""
        if self._exits.pop(pid, None) is not None:
            return
        with contextlib.suppress(OSError, WireError):
            send(self._sock, Message(Kind.KILL, a=pid))
            self._dying.add(pid)

    def await_end(self, pid: int) -> None:
        """Have ``settle`` wait for the end of ``pid``, which is about to end by itself."""
        if self._exits.pop(pid, None) is None:
            self._dying.add(pid)

    def settle(self) -> None:
        """Wait until every killed child is reaped, with all that it started: from here on it runs nowhere."""
        for pid in tuple(self._dying):
            if self.exit_status(pid, timeout_s=_SETTLE_S) is None:
                self.kill(pid)
                self.exit_status(pid, timeout_s=_SETTLE_S)
            self._exits.pop(pid, None)
        self._dying.clear()

    def exit_status(self, pid: int, timeout_s: float) -> int | None:
        """Return the wait status of ``pid``, or None if it is still alive after ``timeout_s`` seconds."""
        deadline = time.monotonic() + timeout_s
        while pid not in self._exits:
            if not readable(self._sock, max(0.0, deadline - time.monotonic())):
                return None
            try:
                self._note(receive(self._sock))
            except WireError:
                return None
        return self._exits[pid]

    def listen(self) -> None:
        """Wait for one message.

        Raises
        ------
        FibError
            If the server is gone.
        """
        try:
            self._note(receive(self._sock))
        except (OSError, WireError) as error:
            raise _gone(error) from None

    def _request(self, message: Message, fds: tuple[int, ...]) -> Forked:
        """Ask for a fork."""
        try:
            send(self._sock, message, fds)
        except (OSError, WireError) as error:
            raise _gone(error) from None
        forked = Forked(self)
        self._asked.append(forked)
        return forked

    def _note(self, message: Message) -> None:
        if message.kind == Kind.EXITED:
            self._exits[message.a] = message.b
        elif message.kind == Kind.FORKED:
            self._asked.popleft().answer = message.a


def _gone(error: Exception) -> FibError:
    return FibError(
        f"the process that forks candidates is gone ({error}): run again, and report it if it happens twice"
    )


class Keeper(ForkServer):
    """Process 1 of namespaces of its own, in which the candidates of one solution live and die."""

    def __init__(self, zygote: Zygote, forked: Forked, sock: socket.socket) -> None:
        super().__init__(sock)
        self._zygote = zygote
        self._forked = forked

    def fork(self, control: socket.socket, output: int, memory_bytes: int, cores: set[int] | None) -> Forked:
        """Fork a candidate that talks over ``control`` and prints to ``output``; its id is that in the keeper."""
        mask = sum(1 << core for core in cores or () if core < 64)
        return self._request(Message(Kind.FORK, b=memory_bytes, c=mask), (control.fileno(), output))

    def freezer(self) -> Freezer:
        """Return what stops the candidates of this keeper; there has to be one already."""
        # The zygote's child only waits for its own child, which is the keeper.
        return Freezer(children(self._forked.pid)[0])

    def close(self) -> None:
        """End the namespaces and everything in them; the zygote's ``settle`` waits for it."""
        if self._sock.fileno() >= 0:
            # Process 1 sees the end of the connection, ends everybody in the namespaces and then itself.
            self._sock.close()
            with contextlib.suppress(FibError):  # if the zygote is gone, its keepers are
                self._zygote.await_end(self._forked.pid)

    def settle(self) -> None:
        """Wait for the end of killed candidates, and of keepers that were closed."""
        super().settle()
        self._zygote.settle()


class Zygote(ForkServer):
    """A running zygote; a context manager, because it must not outlive the judge."""

    def __init__(self, kind: ZygoteKind) -> None:
        ours, theirs = pair()
        super().__init__(ours)
        self._ready = False
        self._interpreter_problems = ""
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-u",
                    "-B",
                    "-c",
                    _BOOT,
                    _import_path(),
                    str(theirs.fileno()),
                    *kind.modules,
                ],
                env=kind.environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
            )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def interpreter_problems(self) -> str:
        """What Triton's interpreter computes wrongly here; waits as ``wait_ready`` does."""
        self.wait_ready()
        return self._interpreter_problems

    def wait_ready(self) -> None:
        """Wait until everything is imported; whoever uses it waits for that, so that others can work meanwhile.

        Raises
        ------
        FibError
            If the zygote cannot start; the message carries what it printed.
        """
        if self._ready:
            return
        try:
            if not readable(self._sock, _START_TIMEOUT_S):
                raise WireError("timed out")
            message = receive(self._sock)
            if message.kind != Kind.READY:
                raise WireError(f"unexpected message {message.kind}")
            self._interpreter_problems = message.text
            self._ready = True
        except WireError as error:
            self._process.kill()
            _, printed = self._process.communicate()
            raise FibError(
                f"the candidate process cannot start ({error}): {printed.decode('utf-8', 'replace').strip()[-2000:]}"
            ) from None

    def keep(self, confinement: Confinement) -> Keeper:
        """Fork a keeper, in whose namespaces nothing is visible but what ``confinement`` says."""
        self.wait_ready()
        ours, theirs = pair()
        policy = memory_file_of_text(confinement.to_text())
        try:
            with theirs:
                forked = self._request(Message(Kind.KEEP), (theirs.fileno(), policy))
        finally:
            os.close(policy)
        return Keeper(self, forked, ours)

    def close(self) -> None:
        """End the zygote and everything that it forked."""
        self._sock.close()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def _import_path() -> str:
    """Where the candidate finds this package if it is not installed, and what the user put on PYTHONPATH."""
    return os.pathsep.join((str(Path(pytest_fib.__file__).resolve().parent.parent), *python_path()))


def search_path() -> str:
    """Return where candidates look for commands: first beside this Python, where ninja may be installed."""
    return os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))


def python_path() -> list[str]:
    """Return the absolute folders on the user's PYTHONPATH."""
    return [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]


def readable(sock: socket.socket, timeout_s: float) -> bool:
    """Whether a message, or the end of them, arrives on ``sock`` within ``timeout_s`` seconds."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


class Zygotes:
    """The zygotes of one session, started when first needed."""

    def __init__(self) -> None:
        self._running: Mapping[ZygoteKind, Zygote] = {}

    def get(self, kind: ZygoteKind) -> Zygote:
        """Return the zygote of ``kind``, which may be importing still."""
        if kind not in self._running:
            self._running = {**self._running, kind: Zygote(kind)}
        return self._running[kind]

    def close(self) -> None:
        """End all of them."""
        for zygote in self._running.values():
            zygote.close()
        self._running = {}
