"""Sources on disk and their imports, each case in a process of its own because imports are global."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_fib.border.order import Order

PROGRAM = """
import json, sys
from pytest_fib.border.order import Order
from pytest_fib.build.sources import import_entry
order = Order.from_text(sys.argv[1])
print(json.dumps(import_entry(order)()))
"""


def imported(folder: Path, sources: dict[str, str], entry: str = "main.py", symbol: str = "run") -> object:
    order = Order(
        language="python",
        entry_file=entry,
        entry_symbol=symbol,
        sources=sources,
        destination_passing=None,
        inputs=0,
        outputs=("y",),
        artifact_dir="",
        threads=1,
    )
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, order.to_text()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("sources", "entry"),
    [
        ({"main.py": "def run(): return 1"}, "main.py"),
        ({"main.py": "from .other import run", "other.py": "def run(): return 1"}, "main.py"),
        ({"main.py": "from other import run", "other.py": "def run(): return 1"}, "main.py"),
        ({"a/b/main.py": "from ..c import run", "a/c.py": "def run(): return 1"}, "a/b/main.py"),
        ({"a/main.py": "from tools import run", "a/tools.py": "def run(): return 1"}, "a/main.py"),
        ({"a/main.py": "from tools.t import run", "tools/t.py": "def run(): return 1"}, "a/main.py"),
        (
            {"main.py": "from statistics import mean\ndef run(): return mean([1])", "statistics.py": ""},
            "main.py",
        ),
        ({"main.py": "import json\ndef run(): return json.loads('1')", "json.py": ""}, "main.py"),
        ({"main.py": "def run(): return int(__file__.endswith('main.py'))"}, "main.py"),
    ],
)
def test_sources_find_each_other(tmp_path: Path, sources: dict[str, str], entry: str) -> None:
    assert imported(tmp_path, sources, entry) == 1


def test_an_entry_may_be_an_attribute_of_an_object(tmp_path: Path) -> None:
    source = "class Kernel:\n    @staticmethod\n    def forward(): return 1"
    assert imported(tmp_path, {"main.py": source}, symbol="Kernel.forward") == 1
