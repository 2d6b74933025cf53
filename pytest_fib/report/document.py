"""The run as one JSON document, ``pytest-fib/1``. What could not be JSON becomes null, never invalid JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_fib.report.files import write_text
from pytest_fib.report.plain import jsonable
from pytest_fib.report.record import Record, SolutionInfo
from pytest_fib.report.scores import score_rows

SCHEMA = "pytest-fib/1"


def build_document(
    records: Sequence[Record], *, environment: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document of a run; ``config`` is every setting as resolved."""
    from pytest_fib.report import gate  # collecting does without it

    document = {
        "schema": SCHEMA,
        "environment": environment,
        "config": config,
        "solutions": distinct_solutions(records),
        "traces": [record["trace"] for record in records if record["trace"] is not None],
        "measurements": [record["measurement"] for record in records if record["measurement"] is not None],
        "suite_gate": gate.suite_rows(records),
        "fuzz": [record["fuzz"] for record in records if record["fuzz"] is not None],
        "builds": [record["build"] for record in records if record["build"] is not None],
        "skipped": [record["skip"] for record in records if record["skip"] is not None],
        "scores": score_rows(records),
    }
    plain: dict[str, Any] = jsonable(document)
    return plain


def distinct_solutions(records: Iterable[Record]) -> list[SolutionInfo]:
    """Return each solution once, with the longest build that was seen (the other items found it built)."""
    found: dict[tuple[str, str], SolutionInfo] = {}
    for record in records:
        info = record["solution"]
        if info is None:
            continue
        known = found.setdefault((info["hash"], info["path"]), SolutionInfo(**info))
        seconds = [s for s in (known["build_seconds"], info["build_seconds"]) if s is not None]
        known["build_seconds"] = max(seconds, default=None)
    return list(found.values())


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document as JSON, as :func:`write_text` does. Raises OSError."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
