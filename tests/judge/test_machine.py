from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

from pytest_fib.judge.machine import Cores, MachineLock, waiting_on


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
