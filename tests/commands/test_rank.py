"""``fib rank``: one board per definition and conditions; ties, failures and what is missing are shown as such."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Fib, Reports


def rows(lines: list[str], title: str = "rmsnorm_h128") -> list[list[str]]:
    """The cells of the rows below a title."""
    start = lines.index(title) + 1
    while not lines[start].startswith("  rank"):
        start += 1
    end = lines.index("", start) if "" in lines[start:] else len(lines)
    return [line.split() for line in lines[start + 1 : end]]


def test_a_board_with_a_winner_and_a_tie(reports: Reports, fib: Fib) -> None:
    paths = [
        reports("a.json", {"solution": "fast", "author": "ada", "ms": 1.0}),
        reports("b.json", {"solution": "slow", "author": "bob", "ms": 8.0}),
        reports("c.json", {"solution": "slow_too", "author": "cy", "ms": 8.1}),
    ]
    status, lines = fib("rank", *paths)
    assert status == 0
    assert lines[0].startswith("score: arithmetic mean over all workloads of latency of the reference")
    assert "one failed workload makes it 0" in lines[0]
    found = rows(lines)
    assert [row[:4] for row in found] == [
        ["1", "fast", "ada", "4.00x"],
        ["2-3", "slow", "bob", "0.500x"],
        ["2-3", "slow_too", "cy", "0.494x"],
    ]
    assert found[0][4:] == ["3.85", "to", "4.12", "4.00x", "100%", "1/1"]
    assert found[1][-2:] == ["0%", "1/1"]


def test_the_reference_is_one_for_all(reports: Reports, fib: Fib) -> None:
    """The median of what three runs measured, so that the second's luck is not its rank."""
    paths = [
        reports(f"{name}.json", {"solution": name, "ms": 1.0, "reference_ms": reference})
        for name, reference in (("a", 4.0), ("b", 40.0), ("c", 4.2))
    ]
    found = rows(fib("rank", *paths)[1])
    assert {row[0] for row in found} == {"1-3"}
    assert {row[3] for row in found} == {"4.20x"}


def test_a_failure_costs_the_score_or_its_workload(reports: Reports, fib: Fib) -> None:
    path = reports(
        "r.json",
        {"solution": "sound", "workload": "w1", "ms": 2.0},
        {"solution": "sound", "workload": "w2", "ms": 2.0},
        {"solution": "broken", "workload": "w1", "ms": 0.5},
        {"solution": "broken", "workload": "w2", "status": "INCORRECT_NUMERICAL"},
    )
    strict, mild = rows(fib("rank", path)[1]), rows(fib("rank", path, "--failures=workload")[1])
    assert [row[:2] + row[3:4] + row[-2:] for row in strict] == [
        ["1", "sound", "2.00x", "100%", "2/2"],
        ["2", "broken", "0x", "50%", "1/2"],
    ]
    assert [row[:2] + row[3:4] for row in mild] == [["1", "broken", "4.00x"], ["2", "sound", "2.00x"]]
    geometric = rows(fib("rank", path, "--failures=workload", "--by=geometric")[1])
    assert [row[1] for row in geometric] == ["sound", "broken"]


def test_a_workload_that_all_fail_counts(reports: Reports, fib: Fib) -> None:
    runs = [{"solution": "v", "workload": "w1"}, {"solution": "v", "workload": "w2", "status": "TIMEOUT"}]
    found = rows(fib("rank", reports("r.json", *runs), "--failures=workload")[1])
    assert found[0][3] == "2.00x"


def test_who_lacks_a_workload_is_not_ranked(reports: Reports, fib: Fib) -> None:
    path = reports(
        "r.json",
        {"solution": "whole", "workload": "w1"},
        {"solution": "whole", "workload": "w2"},
        {"solution": "part", "workload": "w1", "ms": 0.01},
        {"solution": "untimed", "workload": "w1", "ms": None},
        {"solution": "untimed", "workload": "w2", "ms": None},
    )
    found = rows(fib("rank", path)[1])
    assert [(row[0], row[1], row[-1]) for row in found] == [
        ("1", "whole", "2/2"),
        ("–", "part", "1/2"),
        ("–", "untimed", "0/2"),
    ]


def test_another_baseline_than_the_reference(reports: Reports, fib: Fib) -> None:
    path = reports(
        "r.json",
        {"solution": "base", "workload": "w1", "ms": 2.0},
        {"solution": "base", "workload": "w2", "status": "TIMEOUT"},
        {"solution": "mine", "workload": "w1", "ms": 1.0},
        {"solution": "mine", "workload": "w2", "ms": 1.0},
    )
    status, lines = fib("rank", path, "--baseline=base")
    assert status == 0
    assert "  1 workload without a latency to divide not counted" in lines
    assert [row[1:4:2] for row in rows(lines)] == [["mine", "2.00x"], ["base", "1.00x"]]
    assert fib("rank", path, "--baseline=nobody")[0] == 1


def test_predictable_inputs_do_not_count(reports: Reports, fib: Fib) -> None:
    path = reports("r.json", {"solution": "v1", "predictable_inputs": True})
    status, lines = fib("rank", path)
    assert status == 1
    assert lines[-2:] == ["  1 measurement with predictable inputs not counted", "  nothing to rank"]


def test_other_conditions_have_a_board_of_their_own(reports: Reports, fib: Fib) -> None:
    one = reports("a.json", {"solution": "v1"})
    reports.environment["hardware"] = "Other CPU"
    _, lines = fib("rank", one, reports("b.json", {"solution": "v2", "ms": 0.1}))
    assert lines.count("rmsnorm_h128") == 2
    assert any(line.startswith("Test CPU 9000, 2 cores, profile default 10/30/5") for line in lines)
    assert any(line.startswith("Other CPU") for line in lines)


def test_several_runs_of_one_solution_are_one_entry(reports: Reports, fib: Fib) -> None:
    paths = [reports(f"{run}.json", {"solution": "v1", "ms": 1.0 + run / 100}) for run in range(5)]
    found = rows(fib("rank", *paths)[1])
    assert len(found) == 1
    assert found[0][3] == "3.92x"


def test_one_failed_run_of_several_is_a_failure(reports: Reports, fib: Fib) -> None:
    paths = [reports("a.json", {}), reports("b.json", {"status": "RUNTIME_ERROR"})]
    assert rows(fib("rank", *paths)[1])[0][3] == "0x"


def test_a_track_is_the_mean_of_the_best_of_each_author(reports: Reports, fib: Fib) -> None:
    decode = {"definition": "gdn_decode", "author": "ada"}
    path = reports(
        "r.json",
        {**decode, "solution": "d1", "ms": 1.0},
        {**decode, "solution": "d2", "ms": 2.0},
        {"definition": "gdn_prefill", "author": "ada", "solution": "p1", "ms": 2.0},
        {"definition": "gdn_prefill", "author": "bob", "solution": "p2", "ms": 1.0},
    )
    found = rows(fib("rank", path, "--track=gdn_*")[1], "track gdn_*")
    assert [row[:3] for row in found] == [["1", "ada", "3.00x"], ["2", "bob", "2.00x"]]
