"""What is said of a search among further shapes, on the terminal and in the report."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from pytest_fib.data.fuzzing import Failing, Search, Shape
from pytest_fib.report.document import build_document
from pytest_fib.report.failure import fuzz_text
from pytest_fib.report.record import Record
from pytest_fib.report.recording import record_fuzz
from pytest_fib.report.terminal import fuzz_line, summary_line

LINE = json.dumps({"definition": "rmsnorm_h128", "workload": {"axes": {"batch_size": 3}}})


class Item:
    """As much of an item as a record needs."""

    nodeid = "w/rmsnorm_h128.jsonl::s::fuzz"

    def __init__(self) -> None:
        self.stash = pytest.Stash()
        self.user_properties: list[tuple[str, object]] = []


def failing(synthetic: ModuleType, rows: int = 3, after: int | None = None, **changes: Any) -> Failing:
    axes = {"batch_size": rows}
    last = None if after is None else Shape({"batch_size": after}, False, (after,))
    changes = {"status": "INCORRECT_NUMERICAL", "mismatch": synthetic.mismatch(), **changes}
    edges = bool(changes.pop("edges", False))
    return Failing(Shape(axes, edges, (rows,)), synthetic.evaluation(**changes), LINE, last)


def search(synthetic: ModuleType, *found: Failing, **changes: Any) -> Search:
    values: dict[str, Any] = {
        "wanted": 50,
        "judged": 50,
        "failing": found,
        "first": synthetic.evaluation(),
        "refused": "",
        "out_of_time": False,
        "seconds": 2.5,
    }
    return Search(**{**values, **changes})


def record(synthetic: ModuleType, found: Search) -> Record:
    return record_fuzz(Item(), found, synthetic.loaded())  # type: ignore[arg-type]


def text(*found: Failing, synthetic: ModuleType, **changes: Any) -> str:
    return fuzz_text(search(synthetic, *found, **changes), command="pytest --fib-fuzz=50 x", path="w/x.jsonl")


def test_a_failure_says_status_shape_element_line_and_command_in_this_order(synthetic: ModuleType) -> None:
    lines = text(failing(synthetic, log="said\nthis"), synthetic=synthetic).splitlines()
    assert lines[0] == "INCORRECT_NUMERICAL: triton_v1 on rmsnorm_h128, shrunk to batch_size=3"
    expected = ("output 'y', call 3", "  12 of 896", "  worst element: [3, 17]", "  said", "  this",
                "as a line for w/x.jsonl:", f"  {LINE}", "50 shapes were judged in 2.5 s",
                "to search again (what failed comes first):", "  pytest --fib-fuzz=50 x")  # fmt: skip
    places = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in expected]
    assert places == sorted(places)


def test_each_kind_has_its_part(synthetic: ModuleType) -> None:
    other = failing(synthetic, 0, status="TIMEOUT", mismatch=None, log="slow", edges=True)
    found = text(failing(synthetic), other, synthetic=synthetic)
    assert "\n\nTIMEOUT: triton_v1 on rmsnorm_h128, shrunk to batch_size=0, at edges\n  slow\n" in found


def test_what_fails_only_after_another_shape_is_said_to(synthetic: ModuleType) -> None:
    found = text(failing(synthetic, after=64), synthetic=synthetic)
    assert (
        "at batch_size=3, but only in a process that has judged other shapes, the last one batch_size=64:"
        in found
    )
    assert "shrunk to" not in found
    assert "to search again:\n" in found


def test_lack_of_time_is_said(synthetic: ModuleType) -> None:
    assert "may not be the smallest" in text(failing(synthetic), synthetic=synthetic, out_of_time=True)
    short = record(synthetic, search(synthetic, judged=3, out_of_time=True))
    line = fuzz_line([short])
    assert line is not None
    assert line.text == "fib: no time for all further shapes: triton_v1 on rmsnorm_h128: 3 of 50"
    assert fuzz_line([record(synthetic, search(synthetic)), synthetic.record()]) is None


def test_shapes_are_counted_apart_from_workloads(synthetic: ModuleType) -> None:
    good, bad = search(synthetic), search(synthetic, failing(synthetic))
    line = summary_line([synthetic.record(), record(synthetic, good), record(synthetic, bad)])
    assert line.text.startswith("fib: 1 passed;")
    assert line.text.endswith("; 100 further shapes, on which 1 of 2 solutions failed")
    assert line.markup["red"]
    assert summary_line([record(synthetic, good)]).markup["green"]


def test_the_record_becomes_json_and_junit_properties(synthetic: ModuleType) -> None:
    item = Item()
    found = search(synthetic, failing(synthetic, after=7))
    kept = record_fuzz(item, found, synthetic.loaded())  # type: ignore[arg-type]
    assert item.user_properties == [("status", "INCORRECT_NUMERICAL"), ("shapes", 50)]
    document = build_document([kept], environment={}, config={})
    (fuzz,) = json.loads(json.dumps(document, allow_nan=False))["fuzz"]
    assert fuzz["failing"] == [
        {
            "status": "INCORRECT_NUMERICAL",
            "axes": {"batch_size": 3},
            "edges": False,
            "only_after": {"batch_size": 7},
            "workload": json.loads(LINE),
        }
    ]
    assert (fuzz["nodeid"], fuzz["wanted"], fuzz["wall_seconds"]) == (Item.nodeid, 50, 2.5)
    assert document["traces"] == document["measurements"] == document["scores"] == []
