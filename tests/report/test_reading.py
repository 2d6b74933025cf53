"""Reports are shown as far as they make sense, wherever they come from."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.report.document import build_document
from pytest_fib.report.html.page import render
from pytest_fib.report.reading import read_run
from pytest_fib.report.record import Measurement
from pytest_fib.report.standings import standings, verdicts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("PASSED"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [*Measurement.__annotations__, "gate"]
MEASUREMENTS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=12)


def test_a_document_of_ours_is_read_whole(synthetic: ModuleType) -> None:
    same = {"solution_hash": synthetic.loaded().solution.content_hash}
    records = [
        synthetic.record(workload="a", timing=synthetic.timing(0.01, 0.05), **same),
        synthetic.record(workload="b", timing=synthetic.timing(0.02, 0.01), **same),
        synthetic.record(
            "INCORRECT_NUMERICAL", workload="c", mismatch=synthetic.mismatch(), log="why", **same
        ),
        synthetic.record(workload="d", timing=None, **same),
    ]
    run = read_run(build_document(records, environment={"hardware": "x"}, config={"trials": 5}))
    assert [result.status for result in run.results] == ["PASSED", "PASSED", "INCORRECT_NUMERICAL", "PASSED"]
    assert [result.green for result in run.results] == [True, True, False, True]
    assert [len(result.trials) for result in run.results] == [5, 5, 0, 0]
    assert run.results[0].axes == {"batch_size": 7}
    assert run.results[2].failure == "why"
    (standing,) = standings(run)
    (score,) = build_document(records, environment={}, config={})["scores"]
    assert (standing.judged, standing.passed) == (score["workloads"], score["passed"])
    assert standing.geometric_mean == score["geometric_mean_speedup"]
    assert standing.arithmetic_mean == score["arithmetic_mean_speedup"]
    assert standing.win_rate == score["win_rate"]
    assert standing.about is not None
    assert standing.about.author == "ada"


def test_traces_of_two_solutions_of_one_name_are_told_apart(synthetic: ModuleType) -> None:
    first = synthetic.record(timing=synthetic.timing(0.01, 0.05), solution_hash="aa" * 32)
    second = synthetic.record(timing=synthetic.timing(0.01, 0.09), solution_hash="bb" * 32)
    untimed = synthetic.record(timing=None, solution_hash="cc" * 32)
    run = read_run(build_document([untimed, first, second], environment={}, config={}))
    assert [result.reference for result in run.results] == [None, 0.05, 0.09]
    names = {standing.solution for standing in standings(run)}
    assert names == {"triton_v1 aaaaaaaa", "triton_v1 bbbbbbbb", "triton_v1 cccccccc"}


def test_an_item_that_failed_though_it_passed_is_not_green() -> None:
    entries: list[dict[str, Any]] = [
        {"status": "PASSED", "verdict": "SLOWER"},
        {"status": "PASSED", "verdict": "AMBIGUOUS", "failure": "strict"},
        {"status": "PASSED", "verdict": "AMBIGUOUS"},
        {"status": "PASSED", "failure": "assert speedup > 2"},
        {"status": "TIMEOUT"},
    ]
    run = read_run({"measurements": entries})
    assert [result.green for result in run.results] == [False, False, True, False, False]
    assert [r.outcome for r in run.results] == ["SLOWER", "AMBIGUOUS", "PASSED", "FAILED", "TIMEOUT"]
    assert list(verdicts(run.results).items()) == [("SLOWER", 1), ("AMBIGUOUS", 2)]


@given(st.dictionaries(st.sampled_from(list(build_document([], environment={}, config={}))), JSON))
def test_any_document_makes_a_page(document: dict[str, Any]) -> None:
    assert len(render(document).encode()) < 300_000


@given(st.lists(MEASUREMENTS, max_size=4))
def test_any_measurements_make_a_page(measurements: list[dict[str, Any]]) -> None:
    assert render({"measurements": measurements}).count("<tr") >= len(measurements)
