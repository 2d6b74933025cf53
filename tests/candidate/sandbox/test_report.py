"""What is known of the layers of a sandbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.candidate.sandbox import Layer, Report, probe
from pytest_fib.data.layers import OPTIONAL


@given(st.lists(st.builds(Layer, st.text(), st.booleans(), st.text())))
def test_a_report_survives_the_way_to_the_judge(layers: list[Layer]) -> None:
    report = Report(tuple(layers))
    assert Report.from_text(report.to_text()) == report


def test_optional_layers_are_not_missed() -> None:
    report = Report(
        (Layer("root", False, "why"), *(Layer(name, False) for name in OPTIONAL), Layer("pid", True))
    )
    assert report.missing == (Layer("root", False, "why"),)
    assert not report.active("root")
    assert report.active("pid")


def test_a_probe_tells_of_every_layer() -> None:
    report = probe()
    names = [layer.name for layer in report.layers]
    assert {
        "mount",
        "pid",
        "network",
        "ipc",
        "root",
        "proc",
        "capabilities",
        "seccomp",
        "landlock_files",
    } <= set(names)
    assert len(names) == len(set(names))
    assert all(layer.reason for layer in report.layers if not layer.active)


def test_the_sandbox_imports_neither_torch_nor_pydantic() -> None:
    program = (
        "import sys, pytest_fib.candidate.sandbox; print({'torch', 'pydantic', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "set()"
