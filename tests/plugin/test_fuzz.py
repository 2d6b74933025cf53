"""``--fib-fuzz=N``: one further item per definition and solution, which judges shapes that nobody published."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project

ROOT = Path(__file__).resolve().parents[2]
MINI = ROOT / "tracesets" / "mini"
DEFINITION = "norm"

# The status is what the solution's source, a Python expression, says for the workload's axes.
FUZZ_JUDGE = """
from dataclasses import replace
from conftest_of_one import FakeJudge, JUDGE_FACTORY

class ByShape(FakeJudge):
    def evaluate(self, definition, workload, loaded, traceset_root):
        self.log(f"shape {workload.axes['batch_size']} {self.config.isolation} {self.config.sampling.timing}")
        says = eval(loaded.solution.sources[0].content, dict(workload.axes))
        told = replace(loaded, solution=loaded.solution.model_copy(
            update={"sources": (loaded.solution.sources[0].model_copy(update={"content": says}),)}))
        return super().evaluate(definition, workload, told, traceset_root)

    def answers(self, definition, workload, traceset_root):
        return True

def pytest_configure(config):
    config.stash[JUDGE_FACTORY] = ByShape
"""

RIGHT = "'PASSED'"
TAIL = "'INCORRECT_NUMERICAL' if batch_size > 8 and batch_size % 8 > 1 else 'PASSED'"
EMPTY = "'RUNTIME_ERROR no grid' if batch_size == 0 else 'PASSED'"

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def shapes(two_ops: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose judge asks the solution's source for the status of a shape."""
    fake = (two_ops.root / "conftest.py").rename(two_ops.root / "conftest_of_one.py")
    two_ops.write("conftest.py", FUZZ_JUDGE)
    monkeypatch.syspath_prepend(fake.parent)
    monkeypatch.delitem(sys.modules, "conftest_of_one", raising=False)
    return two_ops


@pytest.fixture
def run(pytester: pytest.Pytester, shapes: Project) -> Run:
    """Runs pytest on a solution that says so; a fixed seed unless another is given."""

    def run(says: str, *args: str, fuzz: int = 50) -> pytest.RunResult:
        path = shapes.solution("s", DEFINITION, says)
        return pytester.runpytest(f"--fib-solution={path}", f"--fib-fuzz={fuzz}", "--fib-seed=1", *args)

    return run


def text_of(result: pytest.RunResult) -> str:
    return result.stdout.str()


def report(run: Run, tmp_path: Path, says: str, *args: str) -> dict[str, Any]:
    run(says, f"--fib-report={tmp_path / 'r.json'}", *args)
    document: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
    return document


class TestItem:
    def test_there_is_one_beside_the_workloads(self, run: Run) -> None:
        run(RIGHT).assert_outcomes(passed=4)
        run(RIGHT, fuzz=0).assert_outcomes(passed=3)

    def test_it_is_selected_like_any_other(self, run: Run) -> None:
        run(RIGHT, "-k", "fuzz").assert_outcomes(passed=1, deselected=3)
        run(RIGHT, "-k", "not fuzz").assert_outcomes(passed=3, deselected=1)
        run(RIGHT, "-m", "fib(solution='s')").assert_outcomes(passed=4)
        run(RIGHT, "-m", "fib(op_type='moe')").assert_outcomes(deselected=4)

    def test_shapes_are_judged_for_correctness_only_and_in_one_process(
        self, run: Run, shapes: Project
    ) -> None:
        run(RIGHT, "-k", "fuzz", fuzz=20)
        judged = [line.split() for line in shapes.judge_log() if line.startswith("shape")]
        assert len(judged) == 20
        assert {(isolation, timing) for _, _, isolation, timing in judged} == {("solution", "False")}

    def test_listing_judges_nothing(self, run: Run, shapes: Project) -> None:
        result = run(RIGHT, "--collect-only", "-q")
        result.stdout.fnmatch_lines(["*norm.jsonl::s::fuzz"])
        assert shapes.judge_log() == []

    def test_a_file_without_workloads_has_one(self, run: Run, shapes: Project) -> None:
        shapes.workloads(DEFINITION, [])
        run(RIGHT).assert_outcomes(passed=1)

    def test_the_ini_may_ask_for_it(self, pytester: pytest.Pytester, shapes: Project) -> None:
        pytester.makeini("[pytest]\nfib_fuzz = 5\n")
        path = shapes.solution("s", DEFINITION, RIGHT)
        pytester.runpytest(f"--fib-solution={path}").assert_outcomes(passed=4)
        assert sum(line.startswith("shape") for line in shapes.judge_log()) == 3 + 5

    def test_it_works_with_xdist(self, pytester: pytest.Pytester, shapes: Project) -> None:
        pytest.importorskip("xdist")
        path = shapes.solution("s", DEFINITION, TAIL)
        result = pytester.runpytest_subprocess(
            f"--fib-solution={path}", "--fib-fuzz=50", "--fib-seed=1", "-n2"
        )
        result.assert_outcomes(passed=3, failed=1)
        assert "shrunk to batch_size=10" in text_of(result)


class TestFailure:
    def test_it_names_status_axes_line_and_command(self, run: Run, shapes: Project) -> None:
        result = run(TAIL)
        result.assert_outcomes(passed=3, failed=1)
        result.stdout.fnmatch_lines(
            [
                "INCORRECT_NUMERICAL: s on norm, shrunk to batch_size=10",
                "as a line for tracesets/one/workloads/op/norm.jsonl:",
                '  {"definition": "norm", *"axes": {"batch_size": 10}*',
                "to search again (what failed comes first):",
                "  pytest --fib-solution=solutions/s.json --fib-seed=1 --fib-fuzz=50 "
                "tracesets/one/workloads/op/norm.jsonl::s::fuzz",
                "fib: 3 passed; * further shapes, on which 1 of 1 solution failed*",
            ]
        )

    def test_its_line_fails_as_a_workload(self, run: Run, shapes: Project) -> None:
        line = next(line for line in run(TAIL).outlines if line.startswith('  {"definition"'))
        with (shapes.root / "tracesets/one/workloads/op/norm.jsonl").open("a") as file:
            file.write(line.strip() + "\n")
        run(TAIL, "-k", "not fuzz").assert_outcomes(passed=3, failed=1, deselected=1)

    def test_its_command_repeats_it(self, run: Run, pytester: pytest.Pytester) -> None:
        result = run(TAIL)
        command = next(line for line in result.outlines if line.startswith("  pytest")).split()[1:]
        pytester.runpytest(*command).assert_outcomes(failed=1)

    def test_it_comes_first_next_time(self, run: Run, shapes: Project) -> None:
        run(TAIL, "-k", "fuzz")
        before = len(shapes.judge_log())
        result = run(TAIL, "-k", "fuzz", "--fib-seed=2", fuzz=1)
        result.assert_outcomes(failed=1, deselected=3)
        first = next(line for line in shapes.judge_log()[before:] if line.startswith("shape"))
        assert int(first.split()[1]) % 8 > 1
        run(TAIL, "-k", "fuzz", "--cache-clear", fuzz=1).assert_outcomes(passed=1, deselected=3)

    def test_without_a_cache_nothing_is_kept(self, run: Run) -> None:
        run(TAIL, "-p", "no:cacheprovider").assert_outcomes(passed=3, failed=1)
        run(TAIL, "-p", "no:cacheprovider", "-k", "fuzz", fuzz=1).assert_outcomes(passed=1, deselected=3)

    def test_last_failed_and_stop_at_first(self, run: Run) -> None:
        run(TAIL).assert_outcomes(passed=3, failed=1)
        run(TAIL, "--lf").assert_outcomes(failed=1, deselected=3)
        run("'TIMEOUT' if batch_size > 3 else 'PASSED'", "-x").assert_outcomes(passed=1, failed=1)

    def test_several_kinds_are_told_apart(self, run: Run) -> None:
        text = text_of(run(f"{EMPTY[:-8]}({TAIL})", "-k", "fuzz"))
        assert "shrunk to batch_size=10" in text
        assert "RUNTIME_ERROR: s on norm, shrunk to batch_size=0" in text
        assert "no grid" in text

    def test_names_from_files_do_not_reach_the_terminal_raw(self, run: Run, shapes: Project) -> None:
        odd = "rows\x1b[31m"
        shapes.definition("odd", axis=odd)
        shapes.workloads("odd", [])
        path = shapes.solution("o", "odd", "'TIMEOUT \x1b[32m'")
        shapes.write("conftest.py", FUZZ_JUDGE.replace("workload.axes['batch_size']", "0"))
        result = run(RIGHT, f"--fib-solution={path}", "-k", "odd")
        result.assert_outcomes(failed=1, deselected=4)
        assert "\x1b" not in text_of(result)
        assert "rows\\x1b[31m=0" in text_of(result)


class TestNothingAtAll:
    def test_a_project_may_expect_that_empty_shapes_fail(self, run: Run, shapes: Project) -> None:
        page = (ROOT / "docs" / "fuzzing.md").read_text()
        (hook,) = [part.split("```")[0] for part in page.split("```python\n")[1:]]
        shapes.write("conftest.py", FUZZ_JUDGE + hook)
        run(EMPTY).assert_outcomes(passed=3, xfailed=1)
        run(f"{EMPTY[:-8]}({TAIL})").assert_outcomes(passed=3, failed=1)
        run(RIGHT).assert_outcomes(passed=3, xpassed=1)

    def test_otherwise_they_fail(self, run: Run) -> None:
        run(EMPTY).assert_outcomes(passed=3, failed=1)


class TestReport:
    def test_it_is_apart_from_measurements_scores_and_traces(self, run: Run, tmp_path: Path) -> None:
        document = report(run, tmp_path, TAIL, f"--fib-traces={tmp_path / 't'}")
        assert [m["workload"][:8] for m in document["measurements"]] == ["00000001", "00000007", "00000010"]
        assert [score["workloads"] for score in document["scores"]] == [3]
        assert len(document["traces"]) == 3
        (trace,) = (tmp_path / "t").rglob("*.jsonl")
        assert len(trace.read_text().splitlines()) == 3
        (fuzz,) = document["fuzz"]
        assert (fuzz["status"], fuzz["wanted"], fuzz["solution"]) == ("INCORRECT_NUMERICAL", 50, "s")
        (failing,) = fuzz["failing"]
        assert failing["axes"] == {"batch_size": 10}
        assert failing["workload"]["workload"]["axes"] == {"batch_size": 10}
        assert failing["only_after"] is None

    def test_alone_it_is_a_run_that_judged(self, run: Run, tmp_path: Path) -> None:
        document = report(run, tmp_path, RIGHT, "-k", "fuzz")
        (fuzz,) = document["fuzz"]
        assert (fuzz["status"], fuzz["judged"], fuzz["failing"]) == ("PASSED", 50, [])
        assert fuzz["nodeid"].endswith("norm.jsonl::s::fuzz")
        assert [solution["name"] for solution in document["solutions"]] == ["s"]
        assert document["measurements"] == document["scores"] == document["skipped"] == []

    def test_where_no_shape_can_be_judged_it_is_a_skip(self, run: Run, tmp_path: Path) -> None:
        document = report(run, tmp_path, "'skip there is no GPU'", "-k", "fuzz")
        (skip,) = document["skipped"]
        assert "there is no GPU" in skip["reason"]
        assert document["fuzz"] == []
        result = run("'skip there is no GPU'", "-k", "fuzz")
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED

    def test_a_run_that_had_no_time_says_so(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pytest_fib.items.LEAST_SEARCH_S", 0.0)
        monkeypatch.setattr("pytest_fib.items.SECONDS_PER_SHAPE", 1e-9)
        result = run(RIGHT, "-k", "fuzz")
        result.stdout.fnmatch_lines(["fib: no time for all further shapes: s on norm: 1 of 50"])


class TestWithoutHypothesis:
    def test_it_says_what_to_install(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("pytest_fib.session.find_spec", lambda name: None)
        result = run(RIGHT)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*--fib-fuzz needs hypothesis*pip install 'pytest-fib?fuzz?'*"])
        run(RIGHT, fuzz=0).assert_outcomes(passed=3)


PLANTED = {
    "rows of a tail": (
        "rmsnorm/rmsnorm_cpp.json",
        ("r < rows; ++r)", "r < (rows > 8 ? rows / 8 * 8 + 1 : rows); ++r)"),
        "batch_size=10",
    ),
    "last page": (
        "gqa_paged/gqa_decode_ps16_cpp.json",
        ("if (pages > 0 && last_page_len)", "if (pages == 1 && last_page_len)"),
        "batch_size=1, num_pages=2, len_indptr=2, num_kv_indices=2",
    ),
    "empty sequence": (
        "gqa_ragged/gqa_prefill_python.json",
        ("lse_part in parts:\n", "lse_part in parts:\n        if not len(q_part):\n            break\n"),
        "len_indptr=3, total_q=1, total_kv=1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_off_by_one_is_found_and_shrunk(
    case: str, pytester: pytest.Pytester, project: Project
) -> None:
    file, (right, wrong), least = PLANTED[case]
    solution = json.loads((ROOT / "solutions" / "mini" / file).read_text())
    changed = [
        source | {"content": source["content"].replace(right, wrong)} for source in solution["sources"]
    ]
    assert sum(one != other for one, other in zip(changed, solution["sources"], strict=True)) == 1
    path = project.write("planted.json", json.dumps(solution | {"sources": changed}))
    flags = (f"--fib-solution={path}", f"--fib-traceset={MINI}", "--fib-fuzz=50", "--fib-seed=1")
    result = pytester.runpytest_subprocess(*flags, "-k", "fuzz")
    assert result.parseoutcomes()["failed"] == 1
    assert f", shrunk to {least}\n" in text_of(result)
