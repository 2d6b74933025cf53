"""From inside, no process outside can be seen or reached, and what starts inside is limited and ends with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

Sandbox = Any


def processes() -> list[int]:
    import os

    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def test_no_process_outside_can_be_seen(sandboxed: Sandbox) -> None:
    assert sorted(sandboxed(processes, needs=("pid", "proc")).returned) == [1, 2]


def test_a_fresh_proc_is_had_even_in_the_old_root_and_only_inside(sandboxed: Sandbox) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    outcome = sandboxed(processes, needs=("pid", "proc"), policy={"without": ("root",)})
    assert sorted(outcome.returned) == [1, 2]
    assert Path("/proc/self/mountinfo").read_text() == before


def send_signal(pid: int) -> None:
    import os

    os.kill(pid, 0)


@pytest.mark.parametrize(
    ("without", "layer"),
    [(("landlock_scopes",), "pid"), (("pid", "proc", "uid", "user"), "landlock_scopes")],
    ids=["the PID namespace alone", "Landlock alone"],
)
def test_no_process_outside_can_be_signalled(
    as_caller: Sandbox, without: tuple[str, ...], layer: str
) -> None:
    if os.geteuid() != 0 and layer == "landlock_scopes":
        without = tuple(name for name in without if name != "user")
    outcome = as_caller(send_signal, needs=(layer,), policy={"without": without}, pid=os.getpid())
    assert outcome.raised is not None
    assert outcome.raised.startswith(("ProcessLookupError", "PermissionError"))


def kill_the_first() -> bool:
    import contextlib
    import os
    import time

    for signal in (9, 15, 11):
        with contextlib.suppress(PermissionError):
            os.kill(1, signal)
    time.sleep(0.05)
    return os.path.exists("/proc/1")


def test_process_one_outlives_what_the_candidate_sends_it(sandboxed: Sandbox) -> None:
    outcome = sandboxed(kill_the_first, needs=("pid", "proc"))
    assert outcome.returned is True
    assert outcome.status == 0


def look_into_process_one() -> list[str]:
    import contextlib
    import os

    seen = []
    for path in ("root", "cwd", "fd", "mem", "environ", "map_files", "ns/net"):
        for look in (os.listdir, os.readlink, lambda name: os.close(os.open(name, os.O_RDONLY))):
            with contextlib.suppress(OSError):
                look(f"/proc/1/{path}")
                seen.append(path)
    return seen


def test_process_one_is_closed(sandboxed: Sandbox) -> None:
    assert sandboxed(look_into_process_one, needs=("pid", "proc")).returned == []


def fork_until_refused() -> int:
    import os
    import time

    children = 0
    while children < 200:
        try:
            if os.fork() == 0:
                time.sleep(30)
                os._exit(0)
        except BlockingIOError:
            break
        children += 1
    return children


def test_processes_are_limited_and_none_is_left(sandboxed: Sandbox) -> None:
    outcome = sandboxed(fork_until_refused, needs=("pid", "user"), policy={"processes": 20})
    assert 10 < outcome.returned < 20


def leave_a_daemon_behind() -> None:
    import os
    import time

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(60)  # holds the answer's pipe: whoever waits for its end waits for this process
        os._exit(0)


def test_nothing_outlives_the_candidate(sandboxed: Sandbox) -> None:
    outcome = sandboxed(leave_a_daemon_behind, needs=("pid",), timeout_s=20)
    assert outcome.status == 0
