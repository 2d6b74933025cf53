from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pytest_fib.judge.machine import Cores, DeviceLock, Lock, MachineLock, waiting_on


def test_judge_and_candidate_have_cores_of_their_own() -> None:
    cores = Cores.mine()
    assert cores.candidate
    assert cores.shared == (len(os.sched_getaffinity(0)) == 1)


def test_waiting_leaves_everything_as_it_was() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with waiting_on(core):
        assert os.sched_getaffinity(0) == {core}
        assert not gc.isenabled()
    assert os.sched_getaffinity(0) == before
    assert gc.isenabled()


WORK = """
import pathlib, sys, time
from pytest_fib.judge.machine import MachineLock
with MachineLock(pathlib.Path(sys.argv[1])).working():
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(0.2)
"""


TIME = """
import pathlib, sys, time
from pytest_fib.judge.machine import DeviceLock
folder, marks = map(pathlib.Path, sys.argv[1:3])
lock = DeviceLock(sys.argv[3], folder)
mine, other = (marks / name for name in sys.argv[4:6])
with lock.timing():
    mine.touch()
    end = time.monotonic() + 20
    while not other.exists() and time.monotonic() < end:
        time.sleep(0.01)
    sys.exit(not other.exists())
"""


def test_devices_are_timed_at_the_same_time_by_different_processes(tmp_path: Path) -> None:
    """Each waits inside for the other, which would take for ever if one of them could not enter."""
    marks = tmp_path / "marks"
    marks.mkdir()
    common = [sys.executable, "-c", TIME, str(tmp_path), str(marks)]
    runs = [["GPU-a", "first", "second"], ["GPU-b", "second", "first"]]
    processes = [subprocess.Popen([*common, *run]) for run in runs]
    assert [process.wait(60) for process in processes] == [0, 0]


def enters(lock: Lock, how: str, patience_s: float = 0.15) -> bool:
    """Whether somebody else gets in within that time; who holds the lock meanwhile is the caller."""
    entered = threading.Event()

    def enter() -> None:
        with getattr(lock, how)():
            entered.set()

    threading.Thread(target=enter, daemon=True).start()
    return entered.wait(patience_s)


@pytest.mark.parametrize(
    ("held", "how", "wanted", "as_", "gets_in"),
    [
        ("GPU-a", "timing", "GPU-a", "timing", False),
        ("GPU-a", "timing", "GPU-a", "working", False),
        ("GPU-a", "working", "GPU-a", "timing", False),
        ("GPU-a", "working", "GPU-a", "working", True),
        ("GPU-a", "timing", "GPU-b", "timing", True),
        ("GPU-a", "timing", "", "working", True),
        ("GPU-a", "timing", "", "timing", False),
        ("", "timing", "GPU-a", "timing", False),
        ("", "working", "GPU-a", "timing", True),
    ],
)
def test_who_may_measure_beside_whom(
    tmp_path: Path, held: str, how: str, wanted: str, as_: str, gets_in: bool
) -> None:
    def lock_on(uuid: str) -> Lock:
        return DeviceLock(uuid, tmp_path) if uuid else MachineLock(tmp_path)

    ours, theirs = lock_on(held), lock_on(wanted)
    with getattr(ours, how)():
        assert enters(theirs, as_) == gets_in
    assert enters(lock_on(wanted), as_, patience_s=10)


def test_lock_files_are_for_all_users_and_inside_their_folder(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        DeviceLock("../../GPU 1", tmp_path).close()
    finally:
        os.umask(before)
    files = sorted(tmp_path.rglob("*"))
    assert len(files) == 4
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o644 for file in files)


def test_timing_excludes_work_and_work_shares(tmp_path: Path) -> None:
    marks = [tmp_path / "first", tmp_path / "second"]
    lock = MachineLock(tmp_path)
    with lock.timing():
        workers = [subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path), str(mark)]) for mark in marks]
        time.sleep(0.5)
        assert not any(mark.exists() for mark in marks)
    assert [worker.wait(60) for worker in workers] == [0, 0]
    assert all(mark.exists() for mark in marks)
    with lock.timing():
        pass
    lock.close()
