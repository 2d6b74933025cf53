"""Zygote, keeper and candidate with real forks: what is started is reported, and dies with what started it."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pytest_fib.border.order import Confinement
from pytest_fib.border.wire import Kind, Message, WireError, pair, receive, send
from pytest_fib.judge.output import Output
from pytest_fib.judge.zygote import Keeper, Zygote, ZygoteKind

KIND = ZygoteKind(modules=(), interpret_triton=True, threads=1)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote(KIND) as zygote:
        zygote.wait_ready()
        yield zygote


@pytest.fixture
def keeper(zygote: Zygote) -> Iterator[Keeper]:
    keeper = zygote.keep(Confinement())
    yield keeper
    keeper.close()
    keeper.settle()


@dataclass
class Child:
    pid: int
    sock: socket.socket
    output: Output

    def is_gone(self) -> bool:
        """Whether the other end of the connection, which nobody else holds, is closed."""
        self.sock.settimeout(10)
        try:
            while True:
                receive(self.sock)
        except WireError:
            return True
        except TimeoutError:
            return False


@pytest.fixture
def child(keeper: Keeper) -> Iterator[Child]:
    ours, theirs = pair()
    output = Output()
    with theirs:
        pid = keeper.fork(theirs, output.write_end, 1 << 30, None).pid
    yield Child(pid, ours, output)
    ours.close()
    output.close()


def test_the_first_words_of_a_candidate_are_its_layers(child: Child) -> None:
    message = receive(child.sock)
    assert message.kind == Kind.READY
    layers = {name: active for name, active, _reason in json.loads(message.text)}
    assert layers["no_new_privs"]
    assert layers["capabilities"]


def test_a_candidate_ends_when_the_judge_hangs_up(keeper: Keeper, child: Child) -> None:
    receive(child.sock)
    child.sock.close()
    assert keeper.exit_status(child.pid, timeout_s=10) == 0


def test_a_killed_candidate_is_gone_once_settled(keeper: Keeper, child: Child) -> None:
    keeper.kill(child.pid)
    keeper.settle()
    assert child.is_gone()


def test_how_a_candidate_was_killed_is_reported(keeper: Keeper, child: Child) -> None:
    receive(child.sock)
    send(keeper._sock, Message(Kind.KILL, a=child.pid))
    status = keeper.exit_status(child.pid, timeout_s=10)
    assert status is not None
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_broken_message_only_ends_the_candidate_that_got_it(keeper: Keeper, child: Child) -> None:
    send(child.sock, Message(Kind.RUN, text="before load"))
    child.sock.send(b"no message")
    assert keeper.exit_status(child.pid, timeout_s=10) is not None


def test_candidates_go_with_their_keeper(keeper: Keeper, child: Child) -> None:
    receive(child.sock)
    keeper.close()
    keeper.settle()
    assert child.is_gone()


@pytest.mark.parametrize("read", [True, False], ids=["all read", "messages unread"])
def test_keepers_and_candidates_go_with_their_zygote(read: bool) -> None:
    """Where the judge leaves messages unread, its end of a connection breaks and is not just closed."""
    with Zygote(KIND) as zygote:
        zygote.wait_ready()
        keeper = zygote.keep(Confinement())
        ours, theirs = pair()
        output = Output()
        with theirs:
            forked = keeper.fork(theirs, output.write_end, 1 << 30, None)
        child = Child(forked.pid if read else 0, ours, output)
        receive(ours)
    assert child.is_gone()
    keeper.close()
    ours.close()
    output.close()


def test_the_environment_is_made_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    environment = KIND.environment()
    assert "API_TOKEN" not in environment
    assert environment["TRITON_INTERPRET"] == "1"
    assert set(environment) & {"HOME", "PATH", "LANG"} == {"HOME", "PATH", "LANG"}
