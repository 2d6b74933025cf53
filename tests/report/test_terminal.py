from __future__ import annotations

from types import ModuleType

import pytest

from pytest_fib.report.recording import make_skip
from pytest_fib.report.terminal import remark_lines, seed_line, summary_line


@pytest.mark.parametrize(
    ("statuses", "skips", "expected"),
    [
        (
            ["PASSED"],
            0,
            "fib: 1 passed; speedup over the reference: arithmetic mean 4.00x, geometric mean 4.00x",
        ),
        (["TIMEOUT", "TIMEOUT"], 1, "fib: 0 passed, 2 failed, 1 skipped"),
        ([], 2, "fib: 0 passed, 2 skipped"),
    ],
)
def test_summary(synthetic: ModuleType, statuses: list[str], skips: int, expected: str) -> None:
    records = [synthetic.record(status) for status in statuses]
    records += [make_skip({}, "f.jsonl::w", "no device")] * skips
    assert summary_line(records).text == expected


def test_summary_counts_what_failed_without_a_verdict(synthetic: ModuleType) -> None:
    records = [synthetic.record("PASSED", timing=None)]
    records += [make_skip({}, "f.jsonl::w", "no device", failed=failed) for failed in (True, False)]
    line = summary_line(records)
    assert line.text == "fib: 1 passed, 1 failed without a verdict, 1 skipped"
    assert line.markup["red"]


def test_summary_of_a_run_without_timing_has_no_mean(synthetic: ModuleType) -> None:
    assert summary_line([synthetic.record(timing=None)]).text == "fib: 1 passed"


def test_a_remark_is_said_once(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(remarks=("returns values",)),
        synthetic.record(remarks=("returns values", "\x1bx")),
    ]
    assert [line.text for line in remark_lines(records)] == [
        "remark on 2 workloads: returns values",
        "remark on 1 workload: \\x1bx",
    ]


def test_remarks_that_differ_in_numbers_are_one(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(remarks=(f"waited {seconds} s for call 3",)) for seconds in ("12", "1.5", "2e-05")
    ]
    records += [synthetic.record(remarks=(f"reads {name}, which",)) for name in ("x1", "x2")]
    assert [line.text for line in remark_lines(records)] == [
        "remark on 3 workloads, the first: waited 12 s for call 3",
        "remark on 1 workload: reads x1, which",
        "remark on 1 workload: reads x2, which",
    ]


def test_remarks_name_their_solutions_where_there_are_several(synthetic: ModuleType) -> None:
    records = [synthetic.record(solution=name, remarks=("slow",)) for name in ("a", "a", "b\n")]
    records.append(synthetic.record(solution="c", remarks=("not stationary",)))
    assert [line.text for line in remark_lines(records)] == [
        "remark on 3 workloads of a, b\\n: slow",
        "remark on 1 workload of c: not stationary",
    ]
    records = [synthetic.record(solution=name, remarks=("slow",)) for name in "abcde"]
    assert [line.text for line in remark_lines(records)] == ["remark on 5 workloads of a, b, c, 2 more: slow"]


def test_the_seed_is_said_only_where_there_is_one(synthetic: ModuleType) -> None:
    assert seed_line([synthetic.record()]) is None
    line = seed_line([synthetic.record(seed=7, predictable_inputs=True)])
    assert line is not None
    assert line.text == "inputs are predictable: seed 7"
