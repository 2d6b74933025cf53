"""``fib history``: reports go into one file, and the table shows where latencies stepped."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fib.commands.history.page import course

if TYPE_CHECKING:
    from conftest import Fib, Reports

START = datetime(2026, 3, 1, tzinfo=timezone.utc)


def write_days(reports: Reports, *latencies: float) -> None:
    """A report a day; the commit is the day's number."""
    Path("runs").mkdir()
    for day, latency in enumerate(latencies):
        reports.environment["git"] = {"commit": f"{day:04}", "dirty": False}
        when = (START + timedelta(days=day)).isoformat()
        reports(f"runs/{day:03}.json", {"ms": latency, "timestamp": when})


def test_a_step_is_shown_with_its_time_and_commit(reports: Reports, fib: Fib) -> None:
    write_days(reports, *[1.0, 1.01] * 5, *[1.2, 1.212] * 4)
    assert fib("history", "add", "runs") == (0, ["18 reports added to fib-history.sqlite, 18 runs in all"])
    status, lines = fib("history", "show")
    assert status == 0
    assert lines[:2] == [
        "rmsnorm_h128",
        "  Test CPU 9000, 2 cores, profile default 10/30/5, clock judge",
    ]
    row = lines[3].split()
    assert row[:6] == ["33bf737d-0000", "triton_v1", "18", "0", "1.21", "ms"]
    assert row[6] == "▁" * 10 + "█" * 8
    assert " ".join(row[7:]) == "+20.0% at 2026-03-11 00:00 commit 0010"
    assert lines[-1] == "Of rows in which nothing changed at most 1.0% show a step."


def test_order_is_that_of_time_and_last_limits_it(reports: Reports, fib: Fib) -> None:
    write_days(reports, 1.0, 2.0, 3.0)
    for day in (2, 0, 1):
        fib("history", "add", f"runs/{day:03}.json")
    assert "▁▅█" in fib("history", "show")[1][3]
    row = fib("history", "show", "--last=2")[1][3].split()
    assert (row[2], row[6]) == ("2", "▁█")


def test_adding_twice_changes_nothing(reports: Reports, fib: Fib) -> None:
    path = reports("r.json", {})
    fib("history", "add", path, "--db=h.sqlite")
    status, lines = fib("history", "add", path, path, "--db=h.sqlite")
    assert (status, lines) == (0, ["0 reports added to h.sqlite, 2 already there, 1 run in all"])


def test_series_are_kept_apart(reports: Reports, fib: Fib) -> None:
    reports("a.json", {"solution": "v1"}, {"solution": "v2"}, {"definition": "gemm_n128", "solution": "v3"})
    reports.environment["hardware"] = "Other CPU"
    reports("b.json", {"solution": "v1", "solution_hash": "newer"})
    fib("history", "add", "a.json", "b.json")
    _, lines = fib("history", "show")
    assert lines.count("rmsnorm_h128") == 2
    assert [line.split()[1] for line in fib("history", "show", "v*")[1] if "33bf737d" in line] == [
        "v1",
        "v2",
        "v3",
        "v1",
    ]
    assert fib("history", "show", "gemm*")[1][0] == "gemm_n128"
    assert fib("history", "show", "nothing") == (0, ["nothing is stored that fits"])


def test_failures_are_counted_and_are_no_latencies(reports: Reports, fib: Fib) -> None:
    reports("a.json", {"ms": 1.0})
    reports("b.json", {"status": "TIMEOUT", "timestamp": "2026-02-01T00:00:00+00:00"})
    fib("history", "add", "a.json", "b.json")
    assert fib("history", "show")[1][3].split()[1:5] == ["triton_v1", "2", "1", "–"]


def test_a_report_without_traces_has_the_time_of_its_file(reports: Reports, fib: Fib) -> None:
    reports("a.json", {"ms": None})
    assert fib("history", "add", "a.json")[0] == 0
    assert fib("history", "show")[1][3].split()[2:4] == ["1", "0"]


def test_nothing_is_added_if_one_cannot_be_read(reports: Reports, fib: Fib) -> None:
    reports("a.json", {})
    Path("b.json").write_text("[]")
    status, lines = fib("history", "add", "a.json", "b.json")
    assert status == 1
    assert lines[0].startswith("ERROR: b.json: is not a report")
    assert not Path("fib-history.sqlite").exists()


def test_there_is_nothing_to_show_before_something_was_added(reports: Reports, fib: Fib) -> None:
    assert fib("history", "show") == (
        1,
        ["ERROR: fib-history.sqlite: is not there; make it with fib history add"],
    )


@pytest.mark.parametrize("flag", ["--false-alarms=0", "--false-alarms=0.9", "--last=0"])
def test_senseless_numbers_are_wrong_usage(reports: Reports, fib: Fib, flag: str) -> None:
    assert fib("history", "show", flag)[0] == 2


def test_files_of_others_are_refused_and_left_alone(reports: Reports, fib: Fib) -> None:
    path = reports("a.json", {})
    other = sqlite3.connect("other.sqlite")
    other.execute("CREATE TABLE run (id)")
    other.close()
    before = Path("other.sqlite").read_bytes()
    for words in (("add", path), ("show",)):
        status, lines = fib("history", *words, "--db=other.sqlite")
        assert status == 1
        assert lines == ["ERROR: other.sqlite: is an SQLite file, but no history; name another with --db"]
    assert Path("other.sqlite").read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE measurement SET latency_ms = 'fast'",
        "UPDATE measurement SET latency_ms = -1",
        "UPDATE run SET conditions = '[]'",
        "UPDATE run SET conditions = '{'",
        "UPDATE run SET finished = 1e300",
        "DROP TABLE measurement",
        "PRAGMA user_version = 7",
    ],
)
def test_a_tampered_file_is_one_sentence(reports: Reports, fib: Fib, statement: str) -> None:
    fib("history", "add", reports("a.json", {}))
    connection = sqlite3.connect("fib-history.sqlite", isolation_level=None)
    connection.execute(statement)
    connection.close()
    status, lines = fib("history", "show")
    assert status == 1
    assert len(lines) == 1
    assert lines[0].startswith("ERROR: fib-history.sqlite: ")


def test_hostile_names_are_shown_on_one_line(reports: Reports, fib: Fib) -> None:
    path = reports("a.json", {"solution": "x\x1b[2J"})
    document = json.loads(path.read_text())
    document["measurements"][0]["definition"] = "d\nd"
    path.write_text(json.dumps(document))
    fib("history", "add", path)
    _, lines = fib("history", "show")
    assert lines[0] == "d\\nd"
    assert "x\\x1b[2J" in lines[3]


def test_a_course_is_drawn_between_the_least_and_the_largest() -> None:
    assert course([1.0, 2.0, 1.5]) == "▁█▅"
    assert course([3.0]) == "▁"
    assert course([]) == ""
    assert course(list(range(30)), columns=4) == "▁▃▆█"
