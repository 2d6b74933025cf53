"""The selftest: right judges pass it, wrong ones are found out, and a run does not begin with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fib.cli import main
from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation, Timing
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.data.workload import Workload
from pytest_fib.errors import NotJudgeable
from pytest_fib.judge import JudgeConfig, JudgeSession
from pytest_fib.selftest import Finding, Selftest
from pytest_fib.selftest_cases import CASES, LEAK, Case

if TYPE_CHECKING:
    from conftest import Project

HONEST = "ordinary"
CAUGHT = Case("cheat", "is caught", "def run(x, w, b, y):\n    pass")
GAINS = Case("late cheat", "gains nothing", "def run(x, w, b, y):\n    pass")

# A judge for whole runs: what it says about the selftest's cases is CASES_GET, about everything else PASSED.
CONFTEST = """
from pytest_fib.data.evaluation import Evaluation, Timing
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.selftest_cases import CASES
from pytest_fib.judges import JUDGE_FACTORY

EXPECTED = {f"selftest: {case.name}": case.expected for case in CASES}

class FakeJudge:
    def __init__(self, config):
        self.config = config

    def evaluate(self, definition, workload, loaded, traceset_root):
        name = loaded.solution.name
        print("judging", name)
        status = "RUNTIME_ERROR" if EXPECTED.get(name) == "is caught" and not @GULLIBLE@ else "PASSED"
        return Evaluation(
            definition=definition.name, op_type=definition.op_type, workload=workload.uuid,
            axes=dict(workload.axes), solution=name, solution_hash=loaded.solution.content_hash,
            status=EvaluationStatus(status), timestamp="2026-01-01T00:00:00+00:00",
            timing=Timing(((1.0,),), 2.0, 0.001, 1, None), sandbox=(("root", True, ""),),
        )

    def close(self):
        print("closed")

def pytest_configure(config):
    config.stash[JUDGE_FACTORY] = FakeJudge
"""


class Scripted:
    """A judge that says what a function says: status, latency in ms, output."""

    def __init__(self, says: Callable[[str], tuple[str, float, str]]) -> None:
        self._says = says
        self.closed = False

    def evaluate(
        self, definition: Definition, workload: Workload, loaded: LoadedSolution, traceset_root: Path | None
    ) -> Evaluation:
        status, latency_ms, output = self._says(loaded.solution.name.removeprefix("selftest: "))
        return Evaluation(
            definition=definition.name,
            op_type=definition.op_type,
            workload=workload.uuid,
            axes=dict(workload.axes),
            solution=loaded.solution.name,
            solution_hash=loaded.solution.content_hash,
            status=EvaluationStatus(status),
            timestamp="",
            output=output,
            timing=Timing(((latency_ms,),), 1.0, 0.0, 1, None),
        )

    def close(self) -> None:
        self.closed = True


def finding(case: Case, says: Callable[[str], tuple[str, float, str]]) -> Finding:
    judge = Scripted(says)
    with Selftest(lambda _config: judge) as selftest:
        (found,) = selftest.run((case,))
    assert judge.closed
    return found


class TestWhatIsWrong:
    def test_an_honest_kernel_that_does_not_pass(self) -> None:
        found = finding(CASES[0], lambda _: ("RUNTIME_ERROR", 1.0, ""))
        assert "is honest and got RUNTIME_ERROR" in found.sentence()
        assert found.line().startswith("WRONG  plain ")

    def test_an_honest_kernel_that_passes(self) -> None:
        assert finding(CASES[0], lambda _: ("PASSED", 1.0, "")).problem == ""

    @pytest.mark.parametrize(("status", "wrong"), [("PASSED", True), ("INCORRECT_NUMERICAL", False)])
    def test_a_cheat_without_an_honest_path(self, status: str, wrong: bool) -> None:
        assert bool(finding(CAUGHT, lambda _: (status, 9.0, "")).problem) is wrong

    @pytest.mark.parametrize(("latency_ms", "wrong"), [(0.49, True), (0.51, False)])
    def test_a_cheat_that_is_too_fast(self, latency_ms: float, wrong: bool) -> None:
        def says(name: str) -> tuple[str, float, str]:
            return "PASSED", latency_ms if name == GAINS.name else 1.0, ""

        assert bool(finding(GAINS, says).problem) is wrong

    def test_a_cheat_that_was_too_fast_only_once(self) -> None:
        latencies = iter([0.1, 0.1, 0.9])

        def says(name: str) -> tuple[str, float, str]:
            return "PASSED", next(latencies) if name == GAINS.name else 1.0, ""

        assert finding(GAINS, says).problem == ""

    def test_a_file_that_was_read(self) -> None:
        found = finding(GAINS, lambda _: ("RUNTIME_ERROR", 1.0, f"{LEAK}anything"))
        assert "read a file outside" in found.sentence()

    def test_no_verdict_at_all(self) -> None:
        def says(_name: str) -> tuple[str, float, str]:
            raise NotJudgeable("no such thing here")

        assert "no such thing here" in finding(CASES[0], says).sentence()


def test_the_cases_are_varied() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert sum(case.expected == "passes" for case in CASES) >= 5
    assert sum(case.expected != "passes" for case in CASES) >= 12


def test_the_command_judges_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest"]) == 0
    *lines, summary = capsys.readouterr().out.splitlines()
    assert [line.partition("  ")[0].strip() for line in lines] == ["ok"] * len(CASES)
    assert summary.startswith(f"selftest: {len(CASES)} of {len(CASES)} as expected in ")


def test_a_sandbox_with_a_hole_is_found_out() -> None:
    """Without a private root and without Landlock a file of the judge's user can be read."""
    (reads,) = [case for case in CASES if case.name == "reads files outside"]

    def factory(config: JudgeConfig) -> JudgeSession:
        return JudgeSession(config)

    with Selftest(factory, sandbox_without=frozenset({"mount", "landlock_files"})) as selftest:
        (found,) = selftest.run((reads,))
        assert found.problem == "read a file outside its sandbox"
        assert "landlock_files (not asked for)" in selftest.describe_sandbox()


@pytest.fixture
def named(project: Project) -> Project:
    project.definition("norm")
    project.workloads("norm", [1])
    project.solution(HONEST, "norm")
    return project


def run(project: Project, pytester: pytest.Pytester, gullible: bool, *args: str) -> pytest.RunResult:
    project.write("conftest.py", CONFTEST.replace("@GULLIBLE@", str(gullible)))
    return pytester.runpytest(f"--fib-solution=solutions/{HONEST}.json", "-s", *args)


def test_a_run_begins_when_all_cases_are_as_expected(named: Project, pytester: pytest.Pytester) -> None:
    result = run(named, pytester, False, "--fib-selftest")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "judging selftest: plain",
            "ok * plain *",
            "selftest: *; sandbox complete (1 layers)",
            f"*judging {HONEST}",
        ]
    )


def test_a_run_with_a_gullible_judge_is_refused(named: Project, pytester: pytest.Pytester) -> None:
    named.write("pytest.ini", "[pytest]\nfib_selftest = true\n")
    result = run(named, pytester, True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (sentence,) = [line for line in result.errlines if line]
    assert sentence.startswith("ERROR: selftest: the case 'remembers results by address' cheats and PASSED")
    result.stdout.no_fnmatch_line(f"*judging {HONEST}")
    assert result.outlines.count("closed") == 1


@pytest.mark.parametrize("args", [(), ("--fib-selftest", "--collect-only")], ids=["off", "collect-only"])
def test_it_is_not_run_unasked(named: Project, pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    result = run(named, pytester, True, *args)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*selftest: plain*")


def test_quiet_runs_say_nothing_about_it(named: Project, pytester: pytest.Pytester) -> None:
    result = run(named, pytester, False, "--fib-selftest", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("ok *")
