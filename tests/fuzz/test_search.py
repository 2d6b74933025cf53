"""What fails is found, made as small as it can be, and tried first next time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.fuzzing import Search
from pytest_fib.data.workload import Workload
from pytest_fib.errors import DataError, NotJudgeable, SandboxIncomplete
from pytest_fib.fuzz.search import Effort, search
from pytest_fib.fuzz.shapes import Shapes

from .conftest import RAGGED, ROWS, Verdict, evaluation

LARGE = Workload(axes={"rows": 500}, inputs={}, uuid="w")
EFFORT = Effort(shapes=50, seed=0, seconds=60.0)


@dataclass
class Judge:
    """Judges by axes, and keeps what it was asked."""

    verdict: Verdict
    unanswered: frozenset[int] = frozenset()
    asked: list[dict[str, int]] = field(default_factory=list)

    def __call__(self, workload: Workload) -> Evaluation:
        self.asked.append(dict(workload.axes))
        return evaluation(workload, self.verdict(workload.axes))

    def answers(self, workload: Workload) -> bool:
        return workload.axes.get("rows") not in self.unanswered


def find(judge: Judge, effort: Effort = EFFORT, definition: Definition = ROWS) -> Search:
    published = [LARGE] if definition is ROWS else []
    return search(Shapes(definition, published), judge, judge.answers, effort)


def smallest(found: Search) -> list[tuple[str, dict[str, int]]]:
    return [(one.evaluation.status.value, dict(one.shape.axes)) for one in found.failing]


def wrong_if(condition: bool) -> str:
    return "INCORRECT_NUMERICAL" if condition else "PASSED"


def test_where_nothing_fails_so_many_different_shapes_are_judged() -> None:
    judge = Judge(lambda axes: "PASSED")
    found = find(judge)
    assert found.failing == ()
    assert found.judged == found.wanted == 50
    assert len({axes["rows"] for axes in judge.asked}) == len(judge.asked) == 50
    assert not found.out_of_time


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("condition", "least"),
    [
        (lambda rows: rows >= 37, 37),
        (lambda rows: rows > 8 and rows % 8 >= 2, 10),
        (lambda rows: rows % 64 == 63, 63),
        (lambda rows: rows > 128 and rows % 2 == 1, 129),
        (lambda rows: rows > 0, 1),
    ],
)
def test_a_failing_size_shrinks_to_the_least_one(condition, least: int, seed: int) -> None:
    found = find(Judge(lambda axes: wrong_if(condition(axes["rows"]))), replace(EFFORT, seed=seed))
    assert smallest(found) == [("INCORRECT_NUMERICAL", {"rows": least})]


@pytest.mark.parametrize("seed", range(3))
def test_several_axes_are_made_small(seed: int) -> None:
    judge = Judge(lambda axes: wrong_if(axes["len_indptr"] > 3 and axes["total_kv"] > axes["total_q"] > 4))
    found = find(judge, replace(EFFORT, seed=seed), RAGGED)
    assert smallest(found) == [("INCORRECT_NUMERICAL", {"len_indptr": 4, "total_q": 5, "total_kv": 6})]
    assert not found.failing[0].shape.edges


@pytest.mark.parametrize("seed", range(8))
def test_what_is_reported_fails_and_nothing_smaller_does(seed: int) -> None:
    random = Random(seed)
    least, modulus = random.randint(1, 60), random.choice([1, 2, 3, 7, 16])

    def fails(rows: int) -> bool:
        return rows >= least and rows % modulus == modulus - 1

    (failing,) = find(Judge(lambda axes: wrong_if(fails(axes["rows"]))), replace(EFFORT, seed=seed)).failing
    rows = failing.shape.axes["rows"]
    assert fails(rows)
    assert not any(map(fails, range(rows)))


def test_each_kind_of_failure_is_reported_once_and_empty_shapes_last() -> None:
    def verdict(axes) -> str:
        rows = axes["rows"]
        return "RUNTIME_ERROR" if rows == 0 else "TIMEOUT" if rows > 100 else wrong_if(rows > 16)

    found = find(Judge(verdict))
    assert sorted(smallest(found)[:2]) == [("INCORRECT_NUMERICAL", {"rows": 17}), ("TIMEOUT", {"rows": 101})]
    assert smallest(found)[2:] == [("RUNTIME_ERROR", {"rows": 0})]


def test_the_line_of_a_failing_shape_is_its_workload() -> None:
    (failing,) = find(Judge(lambda axes: wrong_if(axes["rows"] > 2))).failing
    assert json.loads(failing.line)["workload"]["axes"] == {"rows": 3}
    assert json.loads(failing.line)["definition"] == "rows"


def test_no_shape_is_judged_twice_unless_it_fails() -> None:
    judge = Judge(lambda axes: wrong_if(axes["rows"] > 40))
    find(judge)
    passing = [axes["rows"] for axes in judge.asked if axes["rows"] <= 40]
    assert len(passing) == len(set(passing))


class TestWhatTheReferenceCannotDo:
    def test_a_failure_there_does_not_count(self) -> None:
        found = find(Judge(lambda axes: wrong_if(axes["rows"] in (0, 5)), frozenset({0})))
        assert smallest(found) in ([("INCORRECT_NUMERICAL", {"rows": 5})], [])
        assert find(Judge(lambda axes: wrong_if(axes["rows"] == 0), frozenset({0}))).failing == ()

    @pytest.mark.parametrize("error", [NotJudgeable, DataError])
    def test_shapes_that_cannot_be_judged_are_left_out(self, error: type[Exception]) -> None:
        def verdict(axes) -> str:
            if axes["rows"] % 2:
                raise error("odd")
            return wrong_if(axes["rows"] > 9)

        assert smallest(find(Judge(verdict))) == [("INCORRECT_NUMERICAL", {"rows": 10})]

    def test_where_none_can_be_judged_the_reason_is_known(self) -> None:
        def verdict(axes) -> str:
            raise NotJudgeable("language brainfuck is not supported")

        found = find(Judge(verdict))
        assert (found.first, found.judged, found.failing) == (None, 0, ())
        assert found.refused == "language brainfuck is not supported"

    def test_what_concerns_the_run_ends_the_search(self) -> None:
        def verdict(axes) -> str:
            raise SandboxIncomplete("no sandbox")

        with pytest.raises(SandboxIncomplete, match="no sandbox"):
            find(Judge(verdict))


class TestKeptProcesses:
    """A failure counts if it comes again in the fresh process that follows a failure."""

    def test_what_fails_only_after_other_shapes_is_told_apart(self) -> None:
        last: list[int] = []

        def verdict(axes) -> str:
            wrong = bool(last) and last[-1] > axes["rows"] > 3
            last.append(axes["rows"])
            if wrong:
                last.clear()
            return wrong_if(wrong)

        (failing,) = find(Judge(verdict)).failing
        assert failing.after is not None
        assert failing.after.axes["rows"] > failing.shape.axes["rows"] > 3

    def test_a_failure_of_the_shape_itself_is_preferred(self) -> None:
        state: Iterator[int] = iter(range(10**6))

        def verdict(axes) -> str:
            return wrong_if(axes["rows"] == 16 or (axes["rows"] == 8 and next(state) == 0))

        found = find(Judge(verdict))
        assert [(failing.shape.axes["rows"], failing.after) for failing in found.failing] == [(16, None)]


class TestDatabase:
    def test_what_failed_is_tried_first_next_time(self, tmp_path: Path) -> None:
        # What is drawn depends on the modules that are loaded: so many that one in 64 is among them for certain.
        effort = replace(EFFORT, shapes=500, database=tmp_path / "d")

        def verdict(axes) -> str:
            return wrong_if(axes["rows"] % 64 == 37)

        assert smallest(find(Judge(verdict), effort)) == [("INCORRECT_NUMERICAL", {"rows": 37})]
        again = Judge(verdict)
        found = find(again, replace(effort, shapes=1, seed=99))
        assert again.asked[0]["rows"] % 64 == 37
        assert smallest(found) == [("INCORRECT_NUMERICAL", {"rows": 37})]

    def test_empty_shapes_that_fail_keep_nothing_else_from_being_found(self, tmp_path: Path) -> None:
        effort = replace(EFFORT, database=tmp_path / "d")
        empty = ("RUNTIME_ERROR", {"rows": 0})

        def verdict(axes) -> str:
            return "RUNTIME_ERROR" if axes["rows"] == 0 else "PASSED"

        for seed in (1, 2):
            found = find(Judge(verdict), replace(effort, seed=seed))
            assert (smallest(found), found.judged) == ([empty], 50)
        found = find(Judge(lambda axes: verdict(axes) if axes["rows"] < 70 else "TIMEOUT"), effort)
        assert smallest(found) == [("TIMEOUT", {"rows": 70}), empty]

    def test_what_was_mended_is_forgotten(self, tmp_path: Path) -> None:
        effort = replace(EFFORT, database=tmp_path / "d")
        find(Judge(lambda axes: wrong_if(axes["rows"] > 300)), effort)
        assert find(Judge(lambda axes: "PASSED"), effort).failing == ()
        mended = Judge(lambda axes: "PASSED")
        find(mended, replace(effort, shapes=1))
        assert mended.asked == [{"rows": 0}]

    def test_equal_seeds_draw_equal_shapes(self) -> None:
        judges = [Judge(lambda axes: "PASSED") for _ in range(3)]
        for judge, seed in zip(judges, (1, 1, 2), strict=True):
            find(judge, replace(EFFORT, seed=seed))
        assert judges[0].asked == judges[1].asked != judges[2].asked


class TestTime:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """The time by the search's clock, which stands still unless a test moves it."""
        now = [100.0]
        monkeypatch.setattr("pytest_fib.fuzz.search.perf_counter", lambda: now[0])
        return now

    def test_when_it_is_over_no_further_shape_is_judged(self, clock: list[float]) -> None:
        def verdict(axes) -> str:
            clock[0] += 1.0
            return "PASSED"

        found = find(Judge(verdict), replace(EFFORT, seconds=4.5))
        assert (found.judged, found.out_of_time, found.seconds) == (5, True, 5.0)

    def test_one_shape_is_judged_however_long_it_takes(self, clock: list[float]) -> None:
        def verdict(axes) -> str:
            clock[0] += 1000.0
            return wrong_if(True)

        found = find(Judge(verdict))
        assert (found.judged, found.out_of_time) == (1, True)
        assert len(found.failing) == 1

    def test_there_is_as_much_again_for_making_a_failing_shape_small(self, clock: list[float]) -> None:
        def verdict(axes) -> str:
            clock[0] += 1.0
            return wrong_if(axes["rows"] > 40)

        judge = Judge(verdict)
        find(judge, replace(EFFORT, seconds=100.0))
        assert 100 > len(judge.asked) > 10
        judge = Judge(verdict)
        find(judge, replace(EFFORT, seconds=10.0))
        assert 10 <= len(judge.asked) <= 22

    def test_building_does_not_count(self, clock: list[float]) -> None:
        judge = Judge(lambda axes: "PASSED")

        def build_first(workload: Workload) -> Evaluation:
            found = judge(workload)
            if len(judge.asked) > 1:
                return found
            clock[0] += 300.0
            return replace(found, build_seconds=300.0, wall_seconds=300.0)

        found = search(Shapes(ROWS, [LARGE]), build_first, judge.answers, replace(EFFORT, shapes=5))
        assert (found.judged, found.out_of_time) == (5, False)

    def test_shapes_larger_than_a_slow_one_are_left_out(self) -> None:
        judge = Judge(lambda axes: "PASSED")

        def slow(workload: Workload) -> Evaluation:
            return replace(judge(workload), wall_seconds=workload.axes["rows"] / 100, overhead_seconds=0.0)

        search(Shapes(ROWS, [LARGE]), slow, judge.answers, replace(EFFORT, slow_seconds=1.0))
        sizes = [axes["rows"] for axes in judge.asked]
        slowest = [size for size in sizes if size > 100]
        assert slowest == sorted(slowest, reverse=True)
        assert len(sizes) >= 20
