"""What the plugin adds to a start of pytest that names no solution.

    python benchmarks/startup.py

Starts pytest in an empty folder with and without the plugin, alternating, and prints the least wall time of each and
their difference in milliseconds (at most 20 wanted); then what importing the plugin alone takes, and that neither
torch nor pydantic is imported with it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = 20
WANTED_MS = 20.0
PYTEST = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-c", "pytest.ini"]
IMPORT = """
import sys, time, pytest
start = time.perf_counter()
import pytest_fib.plugin
print((time.perf_counter() - start) * 1e3)
print(*sorted({"torch", "pydantic"} & set(sys.modules)) or ["neither"])
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        pairs = [(start(folder, "-p", "no:fib"), start(folder)) for _ in range(STARTS + 1)][1:]
    without, with_plugin = (min(times) for times in zip(*pairs, strict=True))
    added = with_plugin - without
    print(
        f"pytest start, least of {STARTS}: {without:.1f} ms without the plugin, {with_plugin:.1f} ms with it"
    )
    print(f"added: {added:.1f} ms (wanted: at most {WANTED_MS:.0f}), ratio {with_plugin / without:.3f}")
    imports = [fresh_import() for _ in range(STARTS)]
    print(
        f"import pytest_fib.plugin, least of {STARTS}: {min(float(time_ms) for time_ms, _ in imports):.1f} ms"
    )
    print(f"torch or pydantic imported with it: {imports[0][1]}")


def start(folder: str, *args: str) -> float:
    """Milliseconds of one start."""
    begin = time.perf_counter()
    status = subprocess.run([*PYTEST, *args], cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode
    assert status == 5, f"pytest ended with {status}"
    return (time.perf_counter() - begin) * 1e3


def fresh_import() -> list[str]:
    """Milliseconds of the import in a new process, and which of torch and pydantic came with it."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


if __name__ == "__main__":
    main()
