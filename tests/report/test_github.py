"""Under GitHub Actions: annotations, a summary, and no commands but ours."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.github import ANNOTATION_LIMIT, cell, error_commands, summary
from pytest_fib.report.reading import read_run
from pytest_fib.report.run import Run

NASTY = st.text(st.sampled_from(list("%:,\r\n|<>`*_[]()#@!\\-a \u202e")), max_size=30)


def run_of(*entries: dict[str, Any], path: str = "/work/repo/solutions/a.json") -> Run:
    solution = {"name": "mine", "hash": "h", "path": path}
    base = {"definition": "d", "solution": "mine", "solution_hash": "h", "status": "PASSED"}
    return read_run({"measurements": [{**base, **entry} for entry in entries], "solutions": [solution]})


def test_what_failed_alike_is_one_annotation_on_the_solution(tmp_path: Path) -> None:
    failed = {"status": "TIMEOUT", "failure": "TIMEOUT: mine on d\n100 % of it, ever: so"}
    run = run_of(
        *({**failed, "nodeid": f"f::mine::w{index}"} for index in range(7)),
        {"nodeid": "f::mine::x", "verdict": "SLOWER", "failure": "slow"},
        {},
        path=str(tmp_path / "solutions" / "a.json"),
    )
    first, second = error_commands(run, str(tmp_path))
    assert first == (
        "::error file=solutions/a.json,title=TIMEOUT%3A mine on d::7 workloads: w0, w1, w2, w3, w4 and 2 more"
        "%0ATIMEOUT: mine on d%0A100 %25 of it, ever: so"
    )
    assert second.startswith("::error file=solutions/a.json,title=SLOWER%3A mine on d::1 workload: x%0Aslow")
    assert error_commands(run, str(tmp_path / "other"))[0].startswith("::error title=TIMEOUT")


def test_there_are_no_more_annotations_than_github_shows() -> None:
    run = run_of(*({"definition": f"d{index}", "status": "TIMEOUT"} for index in range(30)))
    lines = error_commands(run, "")
    assert len(lines) == ANNOTATION_LIMIT
    assert lines[-1] == "::error::21 more kinds of failures are in the log"


@given(NASTY, NASTY)
def test_any_text_stays_within_its_command(name: str, failure: str) -> None:
    run = run_of({"definition": name, "solution": name, "nodeid": name, "status": name, "failure": failure})
    for line in error_commands(run, ""):
        assert line.splitlines() == [line]
        found = re.fullmatch(r"::error title=([^:,\r\n]*)::(.*)", line)
        assert found is not None


@given(st.text(max_size=40))
def test_a_cell_shows_just_its_text(text: str) -> None:
    shown = cell(text)
    assert shown.isprintable()
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<>`*_\[\]#@]", shown)
    if text.isprintable():
        assert re.sub(r"\\(.)", r"\1", shown) == text


def test_the_summary_has_scores_and_failures() -> None:
    run = run_of(
        {"latency_ms": 1.0, "verdict": "SLOWER", "ratio": 1.2, "nodeid": "f::mine::w1"},
        {"status": "TIMEOUT", "definition": "e|<b>", "nodeid": "f::mine::w2"},
    )
    lines = summary(run).splitlines()
    assert lines[0] == "### pytest-fib: 0 of 2 workloads passed"
    assert "Against the baseline: 1 SLOWER." in lines
    assert "| d | mine | 1 of 1 | – | – | 0% | 1 SLOWER |" in lines
    assert "| e\\|\\<b\\> | mine | 0 of 1 | – | – | – | – |" in lines
    assert "- **SLOWER**: mine on d, w1: 1.00 ms, 1.200 times the baseline" in lines
    assert "- **TIMEOUT**: mine on e\\|\\<b\\>, w2" in lines


def test_the_gate_over_all_workloads_is_in_the_summary_and_an_annotation() -> None:
    suite = {
        "definition": "d|<b>",
        "solution": "mine",
        "baseline": "old",
        "workloads": 12,
        "margin": 0.01,
        "verdict": "SLOWER",
        "ratio": 1.017,
        "ratio_ci": [1.012, 1.022],
    }
    fine = {**suite, "verdict": "SAME", "ratio": 1.001}
    run = read_run({"suite_gate": [suite, fine, {**suite, "ratio": "<b>"}]})
    lines = [line for line in summary(run).splitlines() if line.startswith("Over all")]
    about = "mine on d\\|\\<b\\>, mean over 12 workloads: 1.017 [1.012, 1.022] times the baseline old"
    assert lines[0] == f"Over all: **SLOWER**: {about}, allowed is 1.01."
    assert len(lines) == 2
    (line,) = error_commands(run, "")
    assert line == (
        "::error title=SLOWER over all%3A mine on d|<b>::mean over 12 workloads: 1.017 [1.012, 1.022] times "
        "the baseline old, allowed is 1.01"
    )


@pytest.fixture
def on_github(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    return pytester.path / "summary.md"


@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["alone", "xdist"])
def test_a_whole_run(
    on_github: Path, pytester: pytest.Pytester, synthetic: ModuleType, options: tuple[str, ...]
) -> None:
    if options:
        pytest.importorskip("xdist")
    on_github.write_text("before\n")
    log = "::error::not ours\n::add-mask::PASSED"
    synthetic.write_cases(pytester.path, {"name": "a"}, {"name": "b", "kind": "RUNTIME_ERROR", "log": log})
    result = pytester.runpytest_inprocess("-pno:benchmark", *options)
    lines = [line.strip() for line in result.stdout.lines]
    (stopped,) = [index for index, line in enumerate(lines) if line.startswith("::stop-commands::")]
    resumed = lines.index(f"::{lines[stopped].removeprefix('::stop-commands::')}::")
    commands = [index for index, line in enumerate(lines) if line.startswith(("::error", "::add"))]
    theirs = [index for index in commands if index < resumed]
    assert theirs  # pytest shows the log
    assert all(stopped < index for index in theirs)
    (ours,) = [lines[index] for index in commands if index > resumed]
    assert ours.startswith(
        "::error file=solutions/v1.json,title=RUNTIME_ERROR%3A v1 on rmsnorm_h128::1 workload: "
    )
    assert on_github.read_text().startswith("before\n### pytest-fib: 1 of 2 workloads passed\n")


def test_a_summary_that_cannot_be_written_is_a_warning(
    on_github: Path, pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    on_github.mkdir()
    synthetic.write_cases(pytester.path, {"name": "a"})
    result = pytester.runpytest_inprocess("-pno:benchmark")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["::warning::the step summary could not be written: Is a directory"])


def test_elsewhere_nothing_is_printed(
    pytester: pytest.Pytester, synthetic: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthetic.write_cases(pytester.path, {"name": "a", "kind": "TIMEOUT"})
    assert "::stop-commands" not in pytester.runpytest_inprocess("-pno:benchmark").stdout.str()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    pytester.makepyfile("def test_other(): pass")
    inner: Callable[..., Any] = pytester.runpytest_inprocess
    assert (
        "::stop-commands"
        not in inner("-pno:benchmark", "test_a_run_without_items.py", "-k", "other").stdout.str()
    )
