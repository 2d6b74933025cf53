"""SIGTERM, with which CI systems cancel a run, ends it as Ctrl-C does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_terminated_run_writes_its_report_and_leaves_nothing(tmp_path: Path) -> None:
    report, folder = tmp_path / "report.json", tmp_path / "tmp"
    folder.mkdir()
    solution = json.loads((ROOT / "solutions/mini/rmsnorm/rmsnorm_python.json").read_text())
    entry = solution["spec"]["entry_point"].split("::")[1]
    solution["spec"]["entry_point"] = f"slow.py::{entry}"
    slow = f"import time\n\n\ndef {entry}(*arguments):\n    print('begun', flush=True)\n    time.sleep(100)\n"
    solution["sources"] = [{"path": "slow.py", "content": slow}]
    path = tmp_path / "slow.json"
    path.write_text(json.dumps(solution))
    command = [
        sys.executable,
        "-m",
        "pytest",
        f"--fib-solution={path}",
        f"--fib-report={report}",
        "-p",
        "no:cacheprovider",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TMPDIR": str(folder)}, stdout=subprocess.DEVNULL
    ) as run:
        deadline = time.monotonic() + 60
        while not list(folder.glob("pytest-fib-*/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(3)
        run.send_signal(signal.SIGTERM)
        assert run.wait(30) == 2
    assert json.loads(report.read_text())["measurements"] == []
    assert not list(folder.glob("pytest-fib-*"))
