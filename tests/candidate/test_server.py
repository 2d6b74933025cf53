"""The zygote's loop with real forks: what it starts it reports, and what it starts dies with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_fib.border.wire import Kind, Message, pair, send
from pytest_fib.judge.output import Output
from pytest_fib.judge.zygote import Zygote, ZygoteKind

KIND = ZygoteKind(modules=(), interpret_triton=True, threads=1)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote(KIND) as zygote:
        zygote.wait_ready()
        yield zygote


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_a_candidate_ends_when_the_judge_hangs_up(zygote: Zygote) -> None:
    ours, theirs = pair()
    output = Output()
    with theirs:
        pid = zygote.fork(theirs, output.write_end, 1 << 30, None)
    assert alive(pid)
    ours.close()
    assert zygote.exit_status(pid, timeout_s=10) == 0
    output.close()


def test_a_killed_candidate_is_gone_once_settled(zygote: Zygote) -> None:
    ours, theirs = pair()
    output = Output()
    with theirs:
        pid = zygote.fork(theirs, output.write_end, 1 << 30, None)
    zygote.kill(pid)
    zygote.settle()
    assert not alive(pid)
    ours.close()
    output.close()


def test_a_broken_message_only_ends_the_candidate_that_got_it(zygote: Zygote) -> None:
    ours, theirs = pair()
    output = Output()
    with theirs:
        pid = zygote.fork(theirs, output.write_end, 1 << 30, None)
    send(ours, Message(Kind.RUN, text="before load"))
    ours.send(b"no message")
    assert zygote.exit_status(pid, timeout_s=10) is not None
    ours.close()
    output.close()


def test_the_environment_is_made_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    environment = KIND.environment()
    assert "API_TOKEN" not in environment
    assert environment["TRITON_INTERPRET"] == "1"
    assert set(environment) & {"HOME", "PATH", "LANG"} == {"HOME", "PATH", "LANG"}


def test_candidates_die_with_their_zygote() -> None:
    with Zygote(KIND) as zygote:
        zygote.wait_ready()
        ours, theirs = pair()
        output = Output()
        with theirs:
            pid = zygote.fork(theirs, output.write_end, 1 << 30, None)
        assert alive(pid)
    assert gone(pid)
    ours.close()
    output.close()
