"""The zygote's loop: fork a candidate, kill a candidate, report an exit. It never runs an op itself."""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass, field

from pytest_fib.border.wire import Kind, Message, WireError, receive_with_fds, send
from pytest_fib.candidate.limits import become_candidate


@dataclass
class _Children:
    """Candidates that are alive, by the descriptor that becomes readable when they die."""

    pid_of: dict[int, int] = field(default_factory=dict)

    def fd_of(self, pid: int) -> int | None:
        return next((fd for fd, known in self.pid_of.items() if known == pid), None)


def serve(sock: socket.socket) -> None:
    """Serve FORK and KILL until the judge closes its end; then nothing that was started here is left alive."""
    children = _Children()
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while True:
        for fd, _event in poll.poll():
            if fd != sock.fileno():
                _reap(fd, children, poll, sock)
                continue
            try:
                message, fds = receive_with_fds(sock)
            except WireError:
                for pid in children.pid_of.values():
                    _kill(pid)
                kill_orphans()
                return
            if message.kind == Kind.FORK:
                _fork(message, fds, children, poll, sock)
            elif message.kind == Kind.KILL and children.fd_of(message.a) is not None:
                _kill(message.a)


def _fork(
    message: Message, fds: list[int], children: _Children, poll: select.poll, sock: socket.socket
) -> None:
    control, output = fds
    pid = os.fork()
    if pid == 0:
        for fd in children.pid_of:
            os.close(fd)
        sock.close()
        _candidate(message, control, output)
    os.close(control)
    os.close(output)
    pidfd = os.pidfd_open(pid)
    children.pid_of[pidfd] = pid
    poll.register(pidfd, select.POLLIN)
    send(sock, Message(Kind.FORKED, a=pid))


def _candidate(message: Message, control: int, output: int) -> None:
    """Be a candidate: never returns."""
    status = 70  # EX_SOFTWARE: the loop below leaves by os._exit with a status of its own
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        cores = {core for core in range(64) if message.c >> core & 1} or None
        become_candidate(memory_bytes=message.b, cores=cores)
        from pytest_fib.candidate.worker import Worker

        Worker(socket.socket(fileno=control)).serve()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def _reap(pidfd: int, children: _Children, poll: select.poll, sock: socket.socket) -> None:
    poll.unregister(pidfd)
    os.close(pidfd)
    pid = children.pid_of.pop(pidfd)
    _, status = os.waitpid(pid, 0)
    if not children.pid_of:
        kill_orphans()
    with suppress(WireError):
        send(sock, Message(Kind.EXITED, a=pid, b=status))


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_orphans() -> None:
    """Kill and reap every descendant: orphans are re-parented to this process, so a few rounds find them all."""
    while True:
        for pid in _descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


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
