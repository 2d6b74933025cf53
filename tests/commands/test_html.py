"""``fib html``: a report becomes the page that the run would have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

REPORT = {"schema": "pytest-fib/1", "measurements": [{"definition": "d", "status": "PASSED"}]}
Fib = Callable[..., tuple[int, list[str]]]


def test_a_report_becomes_a_page(fib: Fib, tmp_path: Path) -> None:
    report, page = tmp_path / "r.json", tmp_path / "new" / "page.html"
    report.write_text(json.dumps(REPORT))
    assert fib("html", report, page) == (0, [])
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert "1 of 1 workload passed" in page.read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no report"),
        ('{"schema": "x"}', "is no report"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_report_is_refused_with_one_sentence(
    fib: Fib, tmp_path: Path, text: str | None, problem: str
) -> None:
    report = tmp_path / "r.json"
    if text is not None:
        report.write_text(text)
    status, lines = fib("html", report, tmp_path / "page.html")
    assert status == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"ERROR: {report}: ")
    assert problem in lines[0]
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_said(fib: Fib, tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    report.write_text(json.dumps(REPORT))
    status, lines = fib("html", report, tmp_path)
    assert (status, lines) == (2, [f"ERROR: PAGE: {tmp_path} is a folder; name a file"])
