"""The loop of zygote and keeper: fork a candidate, kill a candidate, report an exit. It never runs an op itself.

A zygote is the clean template. A *keeper* is a fork of it that has entered namespaces of its own and is process 1 in
them; candidates are forks of a keeper, and go with it. Both serve the judge in the same way.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from pytest_fib.border.order import Confinement
from pytest_fib.border.wire import Kind, Message, WireError, receive_with_fds, send
from pytest_fib.candidate.confine import Walls, around
from pytest_fib.candidate.limits import adopt_orphans, become_candidate
from pytest_fib.candidate.sandbox import Report

_SOFTWARE = 70  # EX_SOFTWARE: a process of ours that failed


@dataclass
class _Server:
    """One serving process.

    Attributes
    ----------
    sock
        Towards the judge.
    walls
        What candidates have to put on before they run anything; None in a zygote.
    pid_of
        Children that are alive, by the descriptor that becomes readable when they die.
    probed
        The layers that a trial found to hold on this machine.
    """

    sock: socket.socket
    walls: Walls | None = None
    probed: Report = field(default_factory=Report)
    pid_of: dict[int, int] = field(default_factory=dict)
    poll: select.poll = field(default_factory=select.poll)

    def serve(self) -> None:
        self.poll.register(self.sock, select.POLLIN)
        while True:
            for fd, _event in self.poll.poll():
                if fd != self.sock.fileno():
                    self._reap(fd)
                elif not self._answer():
                    for pid in self.pid_of.values():
                        _kill(pid)
                    kill_strays(())
                    return

    def _answer(self) -> bool:
        """Serve one message; return False once the judge is gone."""
        try:
            message, fds = receive_with_fds(self.sock)
        except WireError:
            return False
        if message.kind == Kind.FORK:
            control, output = fds
            self._fork(fds, lambda: _candidate(message, control, output, self.walls))
        elif message.kind == Kind.KEEP:
            keeper, confinement = fds
            self._fork(fds, lambda: _keep(keeper, confinement, self.probed))
        elif message.kind == Kind.KILL and message.a in self.pid_of.values():
            _kill(message.a)
        return True

    def _fork(self, fds: list[int], child: Callable[[], None]) -> None:
        """Fork a process that owns ``fds`` and runs ``child``; nothing else of this process stays open in it."""
        pid = os.fork()
        if pid == 0:
            _close_all_but(fds)
            _leave(child)
        for fd in fds:
            os.close(fd)
        pidfd = os.pidfd_open(pid)
        self.pid_of[pidfd] = pid
        self.poll.register(pidfd, select.POLLIN)
        send(self.sock, Message(Kind.FORKED, a=pid))

    def _reap(self, pidfd: int) -> None:
        self.poll.unregister(pidfd)
        os.close(pidfd)
        pid = self.pid_of.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        kill_strays(self.pid_of.values())
        with suppress(WireError):
            send(self.sock, Message(Kind.EXITED, a=pid, b=status))


def serve(sock: socket.socket, probed: Report) -> None:
    """Serve the judge until it closes its end; then nothing that was started here is left alive."""
    _Server(sock, probed=probed).serve()


def _candidate(message: Message, control: int, output: int, walls: Walls | None) -> None:
    """Be a candidate, until the judge hangs up."""
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    cores = {core for core in range(64) if message.c >> core & 1} or None
    become_candidate(memory_bytes=message.b, cores=cores)
    layers = "[]" if walls is None else walls.lock_down()
    from pytest_fib.candidate.randomness import reseed
    from pytest_fib.candidate.worker import Worker

    sock = socket.socket(fileno=control)
    send(sock, Message(Kind.READY, text=layers))
    reseed()
    Worker(sock).serve()


def _keep(keeper: int, confinement: int, probed: Report) -> None:
    """Enter new namespaces, whose process 1 serves as keeper; this process waits for it and ends with it."""
    with open(confinement) as file:
        file.seek(0)
        walls = around(Confinement.from_text(file.read()), probed)
    pid = os.fork()
    if pid == 0:
        _leave(lambda: _serve_inside(keeper, walls))
    os.close(keeper)
    os.waitpid(pid, 0)


def _serve_inside(keeper: int, walls: Walls) -> None:
    walls.enter()
    adopt_orphans()
    with socket.socket(fileno=keeper) as sock:
        send(sock, Message(Kind.READY))
        _Server(sock, walls).serve()


def _leave(action: Callable[[], object]) -> None:
    """Run ``action`` and exit, whatever happens: nothing of the caller's stack may run on in a child."""
    status = _SOFTWARE
    try:
        action()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _close_all_but(fds: list[int]) -> None:
    keep = {0, 1, 2, *fds}
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            with suppress(OSError):
                os.close(int(name))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_strays(living: Collection[int]) -> None:
    """Kill and reap every child that is not in ``living``, with all its descendants.

    Orphans are re-parented to this process, so what a dead candidate left behind is a child that nobody knows.
    """
    while True:
        strays = {pid: shown for pid, shown in _own_children() if pid not in living}
        if not strays:
            return
        below = (_number_here(shown) for stray in strays.values() for shown in _descendants(stray))
        for pid in (*strays, *below):
            if pid:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _own_children() -> list[tuple[int, int]]:
    """Return the ids of this process's children, each with the number that ``/proc`` shows it under."""
    numbers = ((_number_here(shown), shown) for shown in _children(_shown_as()))
    return [(pid, shown) for pid, shown in numbers if pid]


def _shown_as() -> int:
    """The number of this process in ``/proc``; its id, unless ``/proc`` is that of a namespace further out."""
    with suppress(OSError):
        return int(os.readlink("/proc/self"))
    return os.getpid()


def _number_here(shown: int) -> int:
    """Return the id in this namespace of what ``/proc`` shows as ``shown``, or 0."""
    me = _shown_as()
    if me == os.getpid():
        return shown
    level = len(_numbers(me)) - 1
    numbers = _numbers(shown)
    return numbers[level] if 0 <= level < len(numbers) else 0


def _numbers(shown: int) -> list[int]:
    """The ids of a process in every namespace from that of ``/proc`` inwards."""
    with suppress(OSError), open(f"/proc/{shown}/status") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[1:]]
    return []


def _descendants(root: int) -> list[int]:
    found, queue = [], [root]
    while queue:
        parent = queue.pop()
        for child in _children(parent):
            found.append(child)
            queue.append(child)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return children
    for task in tasks:
        with suppress(OSError), open(f"/proc/{pid}/task/{task}/children") as file:
            children.extend(int(word) for word in file.read().split())
    return children
