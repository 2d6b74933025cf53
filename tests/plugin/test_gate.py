"""The gate in a run: a judge without processes compares, its blocks having seeded noise."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
import scipy.special  # noqa: F401  (pytester forgets what an inner run imported, and it cannot be imported twice)

from pytest_fib.settings import Settings

from .conftest import FAKE_JUDGE

if TYPE_CHECKING:
    from .conftest import Project

# A source is "PASSED slowdown scatter"; a baseline's says "broken" where it cannot be compared with.
COMPARING = """
import math, random
from dataclasses import replace
from pytest_fib.data.evaluation import Gating, Stage
from pytest_fib.judge.pairing import gating_of
from pytest_fib.measure import gate

def compare(self, evaluation, definition, workload, loaded, traceset_root, baseline, margin):
    self.log(f"compare {workload.uuid[:8]} {loaded.solution.name} {baseline.solution.name} {margin}")
    name = baseline.solution.name
    if "broken" in baseline.solution.sources[0].content:
        return replace(evaluation, gating=Gating(name, margin, reason="the baseline itself is COMPILE_ERROR here"))
    _, slowdown, scatter, *interrupted = loaded.solution.sources[0].content.split()
    if interrupted and workload.uuid[7] == interrupted[0]:
        raise KeyboardInterrupt
    draw = random.Random(workload.uuid)
    def stage():
        logs = [draw.gauss(math.log(float(slowdown)), float(scatter)) for _ in range(7)]
        return Stage(tuple(map(math.exp, logs)), (1.0,) * 7)
    stages = [stage()]
    if gate.find_first(gate.log_ratios(stages[0].candidate_ms, stages[0].baseline_ms), margin).verdict == "SLOWER":
        stages.append(stage())
    return replace(evaluation, gating=gating_of(name, margin, stages))

FakeJudge.compare = compare
"""
# With --fib-device=auto the judge of each solution has its own device.
ON_A_GPU = """
from dataclasses import replace

judged = FakeJudge.evaluate
FakeJudge.evaluate = lambda *given: replace(judged(*given), device="cuda:0")
"""
CALM, NOISY = "0.005", "0.1"


@pytest.fixture
def gated(project: Project) -> Project:
    """A project with one definition of three workloads and an old solution."""
    project.write("conftest.py", FAKE_JUDGE + COMPARING)
    project.definition("norm")
    project.workloads("norm", [1, 7, 16])
    project.solution("old", "norm")
    return project


def run(pytester: pytest.Pytester, project: Project, says: str, *args: str) -> pytest.RunResult:
    new = project.solution("new", "norm", f"PASSED {says}")
    given = (
        []
        if any(arg.startswith(("--fib-baseline", "--fib-aa")) for arg in args)
        else ["--fib-baseline=solutions/old.json"]
    )
    return pytester.runpytest(f"--fib-solution={new}", *given, *args)


class TestVerdicts:
    def test_slower_fails_with_everything_that_decided(
        self, pytester: pytest.Pytester, gated: Project
    ) -> None:
        result = run(pytester, gated, f"1.2 {CALM}", "-k", "batch_size7", "--junitxml=j.xml")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(failed=1, deselected=2)
        result.stdout.fnmatch_lines(
            [
                "SLOWER: new on norm, workload 00000007-* (batch_size=7)",
                "  1.2* ms against 1.00 ms of the baseline old: 1.* times as long (interval 1.* to 1.*), 1.02 *",
                "  seen in 7 pairs of fresh processes, and again in 7 others; their ratios scatter by *%",
                "  pytest --fib-solution=* --fib-baseline=solutions/old.json *batch_size7-00000007",
                "*vs baseline*",
                "norm · new: 1/1 passed, 1 not through the gate*",
                "*x SLOWER*",
                "fib: 1 passed, 1 of them not through the gate*",
                "fib: gate: 1 SLOWER",
            ]
        )
        suite = ElementTree.parse(gated.root / "j.xml").getroot()[0]
        assert suite.get("failures") == "1"
        properties = {entry.get("name"): entry.get("value") for entry in suite.iter("property")}
        assert properties["verdict"] == "SLOWER"
        assert float(properties["ratio"] or "") == pytest.approx(1.2, rel=0.02)

    def test_same_and_faster_pass(self, pytester: pytest.Pytester, gated: Project) -> None:
        for slowdown, verdict in (("1.0", "SAME"), ("0.8", "FASTER")):
            result = run(pytester, gated, f"{slowdown} {CALM}", "--fib-gate=strict")
            result.assert_outcomes(passed=3)
            result.stdout.fnmatch_lines([f"fib: gate: 3 {verdict}"])

    def test_ambiguous_is_a_line_or_a_failure(self, pytester: pytest.Pytester, gated: Project) -> None:
        result = run(pytester, gated, f"1.0 {NOISY}")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(
            [
                "fib: gate: 3 AMBIGUOUS",
                "fib: AMBIGUOUS: new on batch_size1-*; the noise hides what is below *%",
            ]
        )
        result = run(pytester, gated, f"1.0 {NOISY}", "--fib-gate=strict")
        result.assert_outcomes(failed=3)
        result.stdout.fnmatch_lines(["AMBIGUOUS: new on norm*"])

    def test_the_margin_is_the_users(self, pytester: pytest.Pytester, gated: Project) -> None:
        for margin in ("30%", "1.3"):
            run(pytester, gated, f"1.2 {CALM}", f"--fib-max-slowdown={margin}").assert_outcomes(passed=3)

    def test_a_baseline_that_cannot_be_compared_with(self, pytester: pytest.Pytester, gated: Project) -> None:
        gated.solution("bad", "norm", "broken")
        result = run(pytester, gated, f"1.2 {CALM}", "--fib-baseline=solutions/bad.json")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(["fib: not gated (3): the baseline itself is COMPILE_ERROR here"])
        strict = run(pytester, gated, f"1.2 {CALM}", "--fib-baseline=solutions/bad.json", "--fib-gate=strict")
        strict.assert_outcomes(failed=3)

    def test_what_does_not_pass_is_not_compared(self, pytester: pytest.Pytester, gated: Project) -> None:
        new = gated.solution("new", "norm", "RUNTIME_ERROR oh")
        result = pytester.runpytest(f"--fib-solution={new}", "--fib-baseline=solutions/old.json")
        result.assert_outcomes(failed=3)
        assert not any(line.startswith("compare") for line in gated.judge_log())


class TestWithPytest:
    def test_exitfirst_and_last_failed(self, pytester: pytest.Pytester, gated: Project) -> None:
        result = run(pytester, gated, f"1.2 {CALM}", "-x")
        result.assert_outcomes(failed=1)
        result = run(pytester, gated, f"1.2 {CALM}", "--lf")
        result.stdout.fnmatch_lines(["*rerun previous 1 failure*"])

    def test_under_xdist(self, pytester: pytest.Pytester, gated: Project) -> None:
        pytest.importorskip("xdist")
        result = run(pytester, gated, f"1.2 {CALM}", "-n2", "--junitxml=j.xml", "-p", "no:benchmark")
        result.assert_outcomes(failed=4)  # three workloads, and all together
        result.stdout.fnmatch_lines(["fib: gate: 3 SLOWER"])
        suite = ElementTree.parse(gated.root / "j.xml").getroot()[0]
        assert suite.get("failures") == "4"

    def test_an_interrupt_keeps_what_is_finished(self, pytester: pytest.Pytester, gated: Project) -> None:
        new = gated.solution("new", "norm", f"PASSED 1.0 {CALM} 7")
        result = pytester.runpytest_subprocess(
            f"--fib-solution={new}", "--fib-baseline=solutions/old.json", "--fib-report=r.json"
        )
        assert result.ret == pytest.ExitCode.INTERRUPTED
        found = json.loads((gated.root / "r.json").read_text())["measurements"]
        assert [measurement["verdict"] for measurement in found] == ["SAME"]

    def test_over_all_workloads(self, pytester: pytest.Pytester, gated: Project) -> None:
        says = f"1.017 {CALM}"
        result = run(pytester, gated, says, "--junitxml=j.xml", "--fib-report=r.json", "--fib-html=p.html")
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.assert_outcomes(passed=3, failed=1)
        result.stdout.fnmatch_lines(
            [
                "SLOWER over all: new on norm, mean over 3 workloads",
                "  1.0* (1.0* to 1.0*) times as long as the baseline old; allowed over all is 1.01, *",
                "FAILED fib/gate::norm::new - SLOWER over all*",
            ]
        )
        suite = ElementTree.parse(gated.root / "j.xml").getroot()[0]
        assert (suite.get("failures"), suite.get("tests")) == ("1", "4")
        (over_all,) = json.loads((gated.root / "r.json").read_text())["suite_gate"]
        assert (over_all["verdict"], over_all["workloads"], over_all["margin"]) == ("SLOWER", 3, 0.01)
        assert over_all["ratio_ci"][0] < over_all["ratio"] < over_all["ratio_ci"][1]
        page = (gated.root / "p.html").read_text()
        assert "SLOWER over all workloads" in page
        assert f"{over_all['ratio']:.3f} [" in page
        result = run(pytester, gated, says, "--lf")
        result.stdout.fnmatch_lines(["*no previously failed tests*"])

    def test_a_single_workload_is_not_all(self, pytester: pytest.Pytester, gated: Project) -> None:
        run(pytester, gated, f"1.017 {CALM}", "-k", "batch_size7").assert_outcomes(passed=1, deselected=2)


def test_the_report_has_blocks_and_a_score_against_the_baseline(
    pytester: pytest.Pytester, gated: Project
) -> None:
    run(pytester, gated, f"0.5 {CALM}", "--fib-report=r.json")
    report = json.loads((gated.root / "r.json").read_text())
    measurement = report["measurements"][0]
    assert measurement["verdict"] == "FASTER"
    assert measurement["ratio_ci"][0] < measurement["ratio"] < measurement["ratio_ci"][1]
    assert measurement["gate"]["baseline"] == "old"
    assert len(measurement["gate"]["stages"][0]["candidate_ms"]) == 7
    assert [score["denominator"] for score in report["scores"]] == ["reference", "old"]
    assert report["scores"][1]["geometric_mean_speedup"] == pytest.approx(2.0, rel=0.01)
    assert report["config"]["max_slowdown"] == 0.02


def test_aa_shows_the_noise(pytester: pytest.Pytester, gated: Project) -> None:
    result = run(pytester, gated, f"1.0 {CALM}", "--fib-aa")
    result.assert_outcomes(passed=3)
    assert any(line.startswith("compare 00000001 new new") for line in gated.judge_log())
    result.stdout.fnmatch_lines(
        [
            "fib: A/A over 3 comparisons: false alarms 0; flagged by the first stage 0 (at margin 0: *",
            "fib: noise floor (scatter of a block's ratio): median 0.*%, worst *%; smallest detectable slow-down: *%",
        ]
    )


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--fib-baseline=solutions/old.json", "--fib-seed=1"], "--fib-baseline needs secret inputs*"),
        (["--fib-aa", "--fib-seed=1"], "--fib-aa needs secret inputs*"),
        (["--fib-aa", "--fib-no-timing"], "--fib-aa compares latencies*"),
        (["--fib-aa", "--fib-baseline=solutions/old.json"], "--fib-aa makes each solution its own baseline*"),
        (["--fib-baseline=solutions/not_there.json"], "--fib-baseline: *not_there.json*cannot be read*"),
        (
            ["--fib-baseline=solutions/other.json"],
            "--fib-baseline: *other.json is of 'add', of which no solution*",
        ),
        (
            ["--fib-baseline=solutions/old.json", "--fib-baseline=solutions/new.json"],
            "--fib-baseline: 'norm' has two baselines*",
        ),
        (["--fib-aa", "--fib-max-slowdown=0.02"], "--fib-max-slowdown must be *"),
        (["--fib-aa", "--fib-max-slowdown=-1%"], "--fib-max-slowdown must be *"),
        (["--fib-aa", "--fib-gate=loud"], "--fib-gate must be one of warn, strict*"),
    ],
)
def test_usage_errors(pytester: pytest.Pytester, gated: Project, flags: list[str], says: str) -> None:
    gated.definition("add")
    gated.solution("other", "add")
    result = run(pytester, gated, "1.0 0.01", *flags)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {says}"])
    assert len([line for line in result.errlines if line]) == 1


def test_the_ini_may_name_baselines_of_other_definitions(pytester: pytest.Pytester, gated: Project) -> None:
    gated.definition("add")
    gated.solution("other", "add")
    pytester.makeini(
        "[pytest]\nfib_baseline = solutions/other.json solutions/old.json\nfib_max_slowdown = 50%\n"
    )
    new = gated.solution("new", "norm", f"PASSED 1.2 {CALM}")
    pytester.runpytest(f"--fib-solution={new}").assert_outcomes(passed=3)
    settings = Settings.from_config(pytester.parseconfig())
    assert (settings.max_slowdown, settings.gate, settings.aa) == (0.5, "warn", False)


class TestNumbers:
    """The fake judge says 1 ms of everything."""

    @staticmethod
    def recorded(
        pytester: pytest.Pytester, project: Project, count: int, latency: float, **environment: Any
    ) -> Path:
        """A folder of reports in which each workload took about ``latency`` ms."""
        pytester.runpytest(f"--fib-solution={project.solution('old', 'norm')}", "--fib-report=r.json")
        report = json.loads((project.root / "r.json").read_text())
        report["environment"].update(environment)
        for number in range(count):
            for measurement in report["measurements"]:
                measurement["latency_ms"] = latency * (1 + 0.001 * number)
            project.write(f"runs/{number}.json", json.dumps(report))
        return project.root / "runs"

    @pytest.mark.parametrize(
        ("latency", "outcome", "verdict"),
        [(0.5, {"failed": 3}, "SLOWER"), (2.0, {"passed": 3}, "FASTER"), (0.999, {"passed": 3}, "SAME")],
    )
    def test_five_runs_gate(
        self, pytester: pytest.Pytester, gated: Project, latency: float, outcome: dict[str, int], verdict: str
    ) -> None:
        runs = self.recorded(pytester, gated, 5, latency)
        result = run(pytester, gated, "", f"--fib-baseline={runs}")
        result.assert_outcomes(**outcome)
        result.stdout.fnmatch_lines([f"fib: gate: 3 {verdict}"])
        if verdict == "SLOWER":
            result.stdout.fnmatch_lines(["  by the numbers of 5 earlier runs"])

    def test_fewer_are_reported(self, pytester: pytest.Pytester, gated: Project) -> None:
        runs = self.recorded(pytester, gated, 4, 0.5)
        result = run(pytester, gated, "", f"--fib-baseline={runs}")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines(
            ["fib: not gated (3): reported, not gated: 4 earlier runs are there*needs 5"]
        )

    @pytest.mark.parametrize(("changed", "what"), [("hardware", "device"), ("driver", "driver")])
    def test_another_machine_is_not_comparable(
        self, pytester: pytest.Pytester, gated: Project, changed: str, what: str
    ) -> None:
        runs = self.recorded(pytester, gated, 5, 0.5, **{changed: "other"})
        result = run(pytester, gated, "", f"--fib-baseline={runs}")
        result.assert_outcomes(passed=3)
        result.stdout.fnmatch_lines([f"fib: not gated (3): not comparable: another {what}"])

    def test_the_device_is_the_one_that_judged(
        self, pytester: pytest.Pytester, gated: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = self.recorded(pytester, gated, 5, 0.5)
        gated.write("conftest.py", FAKE_JUDGE + ON_A_GPU)
        gated.write("bin/nvidia-smi", "#!/bin/sh\necho A GPU, 1.2, 3, 4, 5\n")
        (gated.root / "bin" / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{gated.root / 'bin'}:{os.environ['PATH']}")
        result = run(pytester, gated, "", f"--fib-baseline={runs}")
        result.stdout.fnmatch_lines(["fib: not gated (3): not comparable: another device, driver"])

    def test_another_profile_is_not_comparable(self, pytester: pytest.Pytester, gated: Project) -> None:
        runs = self.recorded(pytester, gated, 5, 0.5)
        result = run(pytester, gated, "", f"--fib-baseline={runs}", "--fib-profile=quick")
        result.stdout.fnmatch_lines(["fib: not gated (3): not comparable: another profile"])

    def test_traces_of_five_runs(self, pytester: pytest.Pytester, gated: Project) -> None:
        for _ in range(5):
            pytester.runpytest("--fib-solution=solutions/old.json", "--fib-traces=out")
        (traces,) = (gated.root / "out").rglob("*.jsonl")
        run(pytester, gated, "", f"--fib-baseline={traces}").stdout.fnmatch_lines(["fib: gate: 3 SAME"])
        faster = traces.read_text().replace('"latency_ms":1.0', '"latency_ms":0.5')
        traces.write_text(faster)
        run(pytester, gated, "", f"--fib-baseline={traces}").assert_outcomes(failed=3)
        traces.write_text(faster.replace('"pytest-fib"', '"flashinfer-bench"'))
        foreign = run(pytester, gated, "", f"--fib-baseline={traces}")
        foreign.stdout.fnmatch_lines(["fib: not gated (3): not comparable: another clock*"])

    def test_a_folder_without_numbers(self, pytester: pytest.Pytester, gated: Project) -> None:
        gated.write("runs/notes.txt", "")
        result = run(pytester, gated, "", "--fib-baseline=runs")
        result.stderr.fnmatch_lines(["ERROR: --fib-baseline: *runs holds no report or trace*"])
