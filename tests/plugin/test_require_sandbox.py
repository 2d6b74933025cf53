"""A sandbox that is not whole: said at the end, in the report and with -v; refused where it is demanded."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

import pytest

from pytest_fib.candidate.sandbox import Layer, Report
from pytest_fib.data.layers import describe, missing_layers

if TYPE_CHECKING:
    from conftest import Project

WHOLE = Report((Layer("root", True), Layer("uts", False, "optional"), Layer("seccomp", True)))
HOLED = Report((Layer("root", False, "Operation not permitted"), Layer("seccomp", True)))
REFUSAL = (
    "the sandbox is incomplete here: without root (Operation not permitted); allow what is missing (user "
    "namespaces, mostly), or leave out --fib-require-sandbox"
)
LAYERS = 'sandbox=(("root", False, "no \\\\x1b namespaces"), ("uts", False, ""), ("pid", True, "")),'


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """What the machine will say; each probe takes one."""
    answers: list[Report] = []
    module = importlib.import_module("pytest_fib.candidate.sandbox.probe")
    monkeypatch.setattr(module, "probe", lambda cuda=False: answers.pop(0))
    return answers


@pytest.fixture
def run(two_ops: Project, pytester: pytest.Pytester) -> pytest.Pytester:
    two_ops.solution("mine", "norm")
    return pytester


def test_a_missing_layer_ends_the_run_before_it_begins(
    run: pytest.Pytester, two_ops: Project, probes: list[Report]
) -> None:
    probes.append(HOLED)
    result = run.runpytest("--fib-solution=solutions/mine.json", "--fib-require-sandbox")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [f"ERROR: {REFUSAL}"]
    assert two_ops.judge_log() == []


def test_a_whole_sandbox_is_in_the_header(run: pytest.Pytester, probes: list[Report]) -> None:
    probes.append(WHOLE)
    run.makeini("[pytest]\nfib_require_sandbox = true\nfib_device = cpu\n")
    result = run.runpytest("--fib-solution=solutions/mine.json")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["fib: device cpu, sandbox complete (2 layers)"])


def test_verbose_runs_say_what_is_missing_and_go_on(run: pytest.Pytester, probes: list[Report]) -> None:
    probes.append(HOLED)
    result = run.runpytest("--fib-solution=solutions/mine.json", "--fib-device=cpu", "-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["fib: device cpu, sandbox incomplete: root (Operation not permitted)"])


def test_a_header_says_what_auto_means_where_there_is_a_gpu(
    run: pytest.Pytester, probes: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    probes.append(WHOLE)
    monkeypatch.setattr("pytest_fib.candidate.sandbox.policy.nvidia_devices", lambda: ["/dev/nvidia0"])
    result = run.runpytest("--fib-solution=solutions/mine.json", "-v")
    result.stdout.fnmatch_lines(
        ["fib: device auto (a GPU for solutions that are written for one, else cpu), sandbox complete*"]
    )


@pytest.mark.parametrize("args", [(), ("--fib-require-sandbox", "--collect-only", "-q")])
def test_nothing_is_probed_unasked(run: pytest.Pytester, probes: list[Report], args: tuple[str, ...]) -> None:
    result = run.runpytest("--fib-solution=solutions/mine.json", *args)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("fib: device*")
    result.stdout.no_fnmatch_line("*sandbox incomplete*")


def test_the_summary_and_the_report_say_what_was_missing(run: pytest.Pytester, two_ops: Project) -> None:
    conftest = two_ops.root / "conftest.py"
    conftest.write_text(conftest.read_text().replace("output=SAID,", LAYERS))
    result = run.runpytest("--fib-solution=solutions/mine.json", "--fib-report=report.json", "-q")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["fib: 3 passed*", "fib: sandbox incomplete: root (no \\x1b namespaces);*"])
    sandbox = json.loads((run.path / "report.json").read_text())["environment"]["sandbox"]
    assert sandbox["complete"] is False
    assert sandbox["active"] == ["pid"]
    assert set(sandbox["missing"]) == {"root", "uts"}


def test_a_layer_that_is_lost_later_is_no_verdict(
    run: pytest.Pytester, two_ops: Project, probes: list[Report]
) -> None:
    probes.append(WHOLE)
    conftest = two_ops.root / "conftest.py"
    conftest.write_text(
        conftest.read_text()
        .replace("import DataError", "import SandboxIncomplete, DataError")
        .replace("raise DataError(", "raise SandboxIncomplete(")
    )
    two_ops.solution("lost", "norm", says="data-error the sandbox is incomplete here")
    result = run.runpytest(
        "--fib-solution=solutions/lost.json", "--fib-require-sandbox", "--fib-report=report.json"
    )
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["the sandbox is incomplete here"])
    assert json.loads((run.path / "report.json").read_text())["measurements"] == []


def test_layers_that_others_repeat_may_be_missing() -> None:
    layers = [(layer.name, layer.active, layer.reason) for layer in WHOLE.layers]
    assert missing_layers(layers) == {}
    assert describe(layers) == "sandbox complete (2 layers)"
