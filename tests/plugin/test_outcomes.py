"""What becomes of an item, and of the run."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

STATUSES = [
    "INCORRECT_SHAPE",
    "INCORRECT_DTYPE",
    "INCORRECT_NUMERICAL",
    "RUNTIME_ERROR",
    "COMPILE_ERROR",
    "TIMEOUT",
]


def test_passed_is_green(pytester, two_ops: Project) -> None:
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}")
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.OK
    assert two_ops.judge_log()[-1] == "close"


@pytest.mark.parametrize("status", STATUSES)
def test_every_other_status_is_a_failure_that_begins_with_it(pytester, two_ops: Project, status: str) -> None:
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm', status + ' the log')}")
    result.assert_outcomes(failed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"{status}: *", "*the log*", "*Captured candidate call*", "said hello"])
    result.stdout.fnmatch_lines(["\\x1b[[]2J"])
    assert "\x1b[2J" not in result.stdout.str()
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*collection.py*")


def test_a_compile_error_is_shown_once_in_full(pytester, two_ops: Project) -> None:
    says = "COMPILE_ERROR first line of the compiler\nthe error is here"
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm', says)}", "-rN")
    result.assert_outcomes(failed=3)
    assert sum("first line of the compiler" in line for line in result.outlines) == 1
    assert sum("the error is here" in line for line in result.outlines) == 3


def test_what_cannot_be_judged_is_a_skip_with_its_reason(pytester, two_ops: Project) -> None:
    pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}").assert_outcomes(passed=3)
    result = pytester.runpytest(
        f"--fib-solution={two_ops.solution('s', 'norm', 'skip fetch the blob')}",
        f"--fib-solution={two_ops.solution('t', 'norm')}",
        "-rs",
    )
    result.assert_outcomes(passed=3, skipped=3)
    result.stdout.fnmatch_lines(["SKIPPED [[]3[]] * fetch the blob"])
    assert result.ret == pytest.ExitCode.OK


def test_nothing_judged_is_exit_5(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_own(): pass")
    path = two_ops.solution("s", "norm", "skip there is no GPU")
    assert pytester.runpytest(f"--fib-solution={path}").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    mixed = pytester.runpytest(f"--fib-solution={path}", ".")
    mixed.assert_outcomes(passed=1, skipped=3)
    assert mixed.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_nothing_judged_does_not_hide_a_failure(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_own(): assert 0")
    path = two_ops.solution("s", "norm", "skip there is no GPU")
    assert pytester.runpytest(f"--fib-solution={path}", ".").ret == pytest.ExitCode.TESTS_FAILED


def test_data_that_contradicts_itself_fails_its_item_with_one_sentence(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm", "data-error axis h is 9 in the workload; correct it")
    result = pytester.runpytest(f"--fib-solution={path}")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["axis h is 9 in the workload; correct it"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("device", ["cuda", "cuda:7"])
def test_a_device_that_is_not_there_is_a_skip_or_with_require_device_a_failure(
    pytester, two_ops: Project, monkeypatch, device: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    args = [f"--fib-solution={two_ops.solution('s', 'norm')}", f"--fib-device={device}"]
    result = pytester.runpytest(*args, "-rs")
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(
        [f"SKIPPED*there is no judging on {device}: torch sees no CUDA device; use --fib-device=cpu"]
    )
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result = pytester.runpytest(*args, "--fib-require-device", "--fib-report=report.json")
    result.assert_outcomes(failed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["fib: 0 passed, 3 failed without a verdict"])
    document = json.loads((two_ops.root / "report.json").read_text())
    assert [entry["definition"] for entry in document["skipped"]] == ["norm"] * 3
    assert {entry["reason"] for entry in document["skipped"]} == {
        f"there is no judging on {device}: torch sees no CUDA device; use --fib-device=cpu"
    }
    assert document["measurements"] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "*missing.json*cannot be read*"),
        ("{", "*missing.json*"),
        ('{"name": "x"}', "*missing.json*"),
    ],
)
def test_a_flagged_solution_that_cannot_be_read_is_a_usage_error(
    pytester, two_ops: Project, content: str | None, message: str
) -> None:
    if content is not None:
        two_ops.write("missing.json", content)
    result = pytester.runpytest("--fib-solution=missing.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert len([line for line in result.errlines if line]) == 1


def test_an_unknown_definition_is_a_usage_error_that_names_file_field_and_remedy(
    pytester, two_ops: Project
) -> None:
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'nrom')}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            "ERROR: *s.json: field 'definition': 'nrom' is in none of *tracesets/one; "
            "did you mean 'norm'? Correct the name or name the dataset with --fib-traceset=DIR"
        ]
    )
    result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'gemm')}")
    result.stderr.fnmatch_lines(["ERROR: * is in none of *tracesets/one; correct the name *"])


def test_the_command_reproduces_the_one_item(pytester, two_ops: Project) -> None:
    two_ops.solution("it is", "norm", "RUNTIME_ERROR boom", path="my solutions/it's.json")
    flags = ["--fib-seed=7", "--fib-traceset=tracesets/one", "--fib-atol=0.5", "--fib-no-timing"]
    result = pytester.runpytest("--fib-solution=my solutions/it's.json", *flags, "-k", "batch_size7")
    result.assert_outcomes(failed=1, deselected=2)
    command = next(line for line in result.outlines if line.lstrip().startswith("pytest "))
    words = shlex.split(command)
    assert words[1] == "--fib-solution=my solutions/it's.json"
    assert set(flags) <= set(words)
    again = pytester.runpytest(*words[1:])
    again.assert_outcomes(failed=1)
    assert command in again.outlines


def test_the_command_names_a_disambiguated_solution_by_its_plain_name(pytester, two_ops: Project) -> None:
    two_ops.solution("same", "norm", "PASSED", path="a.json")
    two_ops.solution("same", "norm", "TIMEOUT", path="b.json")
    result = pytester.runpytest("--fib-solution=a.json", "--fib-solution=b.json")
    result.assert_outcomes(passed=3, failed=3)
    (line,) = [line for line in result.outlines if "have the same name" in line]
    named = re.fullmatch(r"fib: .*: same-(\w{8}) is .*a\.json, same-(\w{8}) is .*b\.json", line)
    assert named is not None
    assert named[1] != named[2]
    command = next(line for line in result.outlines if line.lstrip().startswith("pytest "))
    alone = pytester.runpytest(*shlex.split(command)[1:])
    alone.assert_outcomes(failed=1)
    alone.stdout.no_fnmatch_line("*have the same name*")


def test_reruns_are_refused(pytester, two_ops: Project) -> None:
    pytester.makeconftest(
        (two_ops.root / "conftest.py").read_text()
        + "\ndef pytest_addoption(parser):\n"
        + "    parser.addoption('--reruns', type=int)\n    parser.addini('reruns', 'its ini twin')\n"
    )
    path = two_ops.solution("s", "norm")
    pytester.runpytest(f"--fib-solution={path}", "--reruns=0").assert_outcomes(passed=3)
    result = pytester.runpytest(f"--fib-solution={path}", "--reruns=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --reruns *"])
    result = pytester.runpytest(f"--fib-solution={path}", "-o", "reruns=2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ini option reruns *"])


def test_builds_happen_in_the_call_not_in_setup(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm", "COMPILE_ERROR no")
    recorder = pytester.inline_run(f"--fib-solution={path}")
    failed = recorder.listoutcomes()[2]
    assert {report.when for report in failed} == {"call"}


def test_the_judge_is_not_made_when_only_collecting(pytester, two_ops: Project) -> None:
    pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}", "--collect-only")
    assert two_ops.judge_log() == []


def test_the_judge_is_closed_after_an_interrupt(pytester, two_ops: Project) -> None:
    conftest = (two_ops.root / "conftest.py").read_text()
    pytester.makeconftest(conftest + "\ndef pytest_runtest_teardown():\n    raise KeyboardInterrupt\n")
    result = pytester.runpytest_subprocess(f"--fib-solution={two_ops.solution('s', 'norm')}")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert two_ops.judge_log()[-1] == "close"


class TestZeroItems:
    """With a solution and no item, one line says why."""

    def line(self, result: pytest.RunResult) -> str:
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        (line,) = [line for line in result.outlines if line.startswith("fib: no workload was judged")]
        return line

    def test_no_workload_file(self, pytester, two_ops: Project) -> None:
        two_ops.definition("lonely")
        result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'lonely')}")
        assert "no workload file for lonely" in self.line(result)

    def test_an_empty_workload_file(self, pytester, two_ops: Project) -> None:
        two_ops.workloads("norm", [])
        result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}")
        assert "workload files of norm are empty" in self.line(result)

    def test_deselected(self, pytester, two_ops: Project) -> None:
        result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}", "-k", "nothing")
        assert "all 3 were deselected" in self.line(result)

    def test_elsewhere(self, pytester, two_ops: Project) -> None:
        (two_ops.root / "empty").mkdir()
        result = pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}", "empty")
        assert "paths given hold none of norm" in self.line(result)

    def test_a_glob_that_finds_nothing(self, pytester, two_ops: Project) -> None:
        pytester.makeini("[pytest]\nfib_solutions = nowhere/*.json\n")
        assert "fib_solutions finds no usable solution" in self.line(pytester.runpytest())
