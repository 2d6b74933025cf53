"""``fib compare``: ratios with intervals for what is comparable, a reason for what is not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.cli import main

if TYPE_CHECKING:
    from conftest import Fib, Reports


def test_a_ratio_for_each_workload_and_their_mean(reports: Reports, fib: Fib) -> None:
    old = reports("old.json", {"workload": "w1", "ms": 1.0}, {"workload": "w2", "ms": 0.01})
    new = reports("new.json", {"workload": "w1", "ms": 1.1}, {"workload": "w2", "ms": 0.0121})
    status, lines = fib("compare", old, new)
    assert status == 0
    assert lines == [
        "first : old.json, 2026-01-02 03:04 UTC",
        "second: new.json, 2026-01-02 03:04 UTC",
        "",
        "rmsnorm_h128: triton_v1",
        "  workload          first   second  ratio            95 %",
        "  w1              1.00 ms  1.10 ms  1.100  1.047 to 1.156",
        "  w2              10.0 µs  12.1 µs  1.210  1.151 to 1.272",
        "  geometric mean                    1.154  1.114 to 1.195",
    ]


def test_below_five_trials_there_is_no_interval(reports: Reports, fib: Fib) -> None:
    old, new = reports("old.json", {"trials": 3}), reports("new.json", {"trials": 5})
    _, lines = fib("compare", old, new)
    assert lines[-1].endswith("  1.000     –")


def test_different_solutions_are_compared_if_each_report_has_one(reports: Reports, fib: Fib) -> None:
    old, new = reports("old.json", {"solution": "v1"}), reports("new.json", {"solution": "v2", "ms": 0.5})
    status, lines = fib("compare", old, new)
    assert status == 0
    assert "rmsnorm_h128: v1 against v2" in lines
    assert " 0.500  " in lines[-1]


def test_of_several_solutions_those_of_one_name_are_compared(reports: Reports, fib: Fib) -> None:
    old = reports("old.json", {"solution": "v1", "ms": 1.0}, {"solution": "v2", "ms": 2.0})
    new = reports("new.json", {"solution": "v2", "ms": 1.0}, {"solution": "v3", "ms": 9.0})
    status, lines = fib("compare", old, new)
    assert status == 0
    assert "rmsnorm_h128: v2" in lines
    assert [line.split(", ")[1] for line in lines[-2:]] == [
        "v1: only in the first report",
        "v3: only in the second report",
    ]


def test_two_solutions_of_one_name_are_told_apart(reports: Reports, fib: Fib) -> None:
    runs = [{"solution_hash": "a" * 64, "ms": 1.0}, {"solution_hash": "b" * 64, "ms": 2.0}]
    path = reports("r.json", *runs)
    _, lines = fib("compare", path, path)
    assert [line for line in lines if line.startswith("rmsnorm")] == [
        "rmsnorm_h128: triton_v1 aaaaaaaa",
        "rmsnorm_h128: triton_v1 bbbbbbbb",
    ]
    assert lines[-1].startswith("geometric mean of all 2 ratios: 1.000")


def test_what_cannot_be_compared_has_a_reason(reports: Reports, fib: Fib) -> None:
    old = reports(
        "old.json",
        {"workload": "same"},
        {"workload": "mended", "status": "TIMEOUT"},
        {"workload": "seeded"},
        {"workload": "untimed"},
    )
    new = reports(
        "new.json",
        {"workload": "same"},
        {"workload": "mended"},
        {"workload": "seeded", "predictable_inputs": True},
        {"workload": "untimed", "ms": None},
    )
    status, lines = fib("compare", old, new)
    assert status == 0
    assert lines[-4] == "not comparable: 3 workloads"
    assert [line.rpartition(": ")[2] for line in lines[-3:]] == [
        "TIMEOUT in the first report, PASSED in the second",
        "inputs 'secret' against 'predictable'",
        "not timed in the second report",
    ]


def test_what_fails_now_and_passed_before_is_exit_status_1(reports: Reports, fib: Fib) -> None:
    old = reports("old.json", {"workload": "w1"}, {"workload": "w2"})
    new = reports("new.json", {"workload": "w1"}, {"workload": "w2", "status": "RUNTIME_ERROR"})
    assert fib("compare", old, new)[0] == 1
    assert fib("compare", new, old)[0] == 0


def test_another_machine_is_not_comparable(reports: Reports, fib: Fib) -> None:
    old = reports("old.json", {})
    reports.environment["hardware"] = "Another \x1b[31mCPU"
    reports.config["iterations"] = 50
    status, lines = fib("compare", old, reports("new.json", {}))
    assert status == 1
    assert lines[-3:] == [
        "not comparable, because the runs differ:",
        "  hardware 'Test CPU 9000' against 'Another \\x1b[31mCPU'",
        "  iterations 30 against 50",
    ]


def test_other_libraries_are_a_note(reports: Reports, fib: Fib) -> None:
    reports.environment["libs"] = {"torch": "2.12.0"}
    old = reports("old.json", {})
    reports.environment["libs"] = {"torch": "2.13.0"}
    status, lines = fib("compare", old, reports("new.json", {}))
    assert status == 0
    assert "note: torch 2.12.0 in the first, 2.13.0 in the second" in lines


def test_a_file_that_is_no_report_is_one_sentence(reports: Reports, fib: Fib) -> None:
    good = reports("good.json", {})
    Path("bad.json").write_text("{}")
    for words in ((good, "bad.json"), ("absent.json", good)):
        status, lines = fib("compare", *words)
        assert status == 1
        assert len(lines) == 1
        assert lines[0].startswith("ERROR: ")


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.json"
        path.write_bytes(raw)
        assert main(["compare", str(path), str(path)]) == 1
        assert main(["rank", str(path)]) == 1
        assert main(["history", "add", str(path), "--db", f"{folder}/h.sqlite"]) == 1
        assert main(["history", "show", "--db", str(path)]) == 1
