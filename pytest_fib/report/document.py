"""The run as one JSON document, ``pytest-fib/1``. What could not be JSON becomes null, never invalid JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

from pytest_fib.data.text import escape
from pytest_fib.errors import SettingsError
from pytest_fib.measure.scores import arithmetic_mean, geometric_mean, win_rate
from pytest_fib.report.record import Record, SolutionInfo

SCHEMA = "pytest-fib/1"


class Score(TypedDict):
    """How one solution does on one definition.

    The means are over the workloads that passed and were timed, ``win_rate`` is over all that were judged: read
    them beside ``passed`` and ``workloads``. None where nothing was timed.
    """

    solution: str
    solution_hash: str
    definition: str
    workloads: int
    passed: int
    arithmetic_mean_speedup: float | None
    geometric_mean_speedup: float | None
    win_rate: float | None
    denominator: str


def build_document(
    records: Sequence[Record], *, environment: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the document of a run; ``config`` is every setting as resolved."""
    document = {
        "schema": SCHEMA,
        "environment": environment,
        "config": config,
        "solutions": distinct_solutions(records),
        "traces": [record["trace"] for record in records if record["trace"] is not None],
        "measurements": [record["measurement"] for record in records if record["measurement"] is not None],
        "fuzz": [record["fuzz"] for record in records if record["fuzz"] is not None],
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


def score_rows(records: Iterable[Record]) -> list[Score]:
    """Return a score per definition and solution, in the order of appearance, then those against baselines."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        measurement = record["measurement"]
        if measurement is not None:
            groups.setdefault((measurement["definition"], measurement["solution_hash"]), []).append(record)
    against_references = [_score(group) for group in groups.values()]
    against_baselines = (_baseline_score(group) for group in groups.values())
    return [*against_references, *(score for score in against_baselines if score is not None)]


def passed_speedups(records: Iterable[Record]) -> list[float]:
    """Return the speedups of the records that passed and were timed."""
    return [
        record["speedup"]
        for record in records
        if record["speedup"] is not None and record["speedup"] > 0 and has_passed(record)
    ]


def has_passed(record: Record) -> bool:
    """Whether the record is that of a judged workload with status PASSED."""
    measurement = record["measurement"]
    return measurement is not None and measurement["status"] == "PASSED"


def jsonable(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: not finite becomes None, bytes (which may be secret) a mere size."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return jsonable(value.value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {jsonable(str(key)): jsonable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    return str(value).encode("utf-8", "backslashreplace").decode()


def check_target(path: Path, flag: str = "--fib-report") -> None:
    """Create the folder of a file to come; SettingsError, about ``flag``, when it could not be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{flag}: the folder of {escape(str(path))} cannot be made: {error.strerror}"
        ) from None
    if path.is_dir():
        raise SettingsError(f"{flag}: {escape(str(path))} is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise SettingsError(
            f"{flag}: the folder of {escape(str(path))} cannot be written to; name another file"
        )


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write the document as JSON, as :func:`write_text` does. Raises OSError."""
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file so that ``path`` holds the old or the new one at any moment, never a part.

    A path that is not a regular file (a pipe, ``/dev/stdout``) is written to as it is. Raises OSError.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        _write_durably(temporary, text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _write_durably(path: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Some file systems refuse to sync a folder; the file itself is safe by then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _score(group: Sequence[Record]) -> Score:
    measurement = group[0]["measurement"]
    assert measurement is not None
    speedups = passed_speedups(group)
    timed = any(record["speedup"] is not None for record in group)
    return Score(
        solution=measurement["solution"],
        solution_hash=measurement["solution_hash"],
        definition=measurement["definition"],
        workloads=len(group),
        passed=sum(map(has_passed, group)),
        arithmetic_mean_speedup=arithmetic_mean(speedups) if speedups else None,
        geometric_mean_speedup=geometric_mean(speedups) if speedups else None,
        win_rate=win_rate(speedups, len(group)) if timed else None,
        denominator="reference",
    )


def _baseline_score(group: Sequence[Record]) -> Score | None:
    """Return the score against the baseline that ran beside the solution; None where there was none."""
    gated = [
        measurement
        for measurement in (record["measurement"] for record in group if has_passed(record))
        if measurement is not None and measurement["gate"] is not None and measurement["ratio"] is not None
    ]
    if not gated:
        return None
    first, found = gated[0], gated[0]["gate"]
    assert found is not None
    speedups = [1 / measurement["ratio"] for measurement in gated if measurement["ratio"]]
    return Score(
        solution=first["solution"],
        solution_hash=first["solution_hash"],
        definition=first["definition"],
        workloads=len(group),
        passed=sum(map(has_passed, group)),
        arithmetic_mean_speedup=arithmetic_mean(speedups),
        geometric_mean_speedup=geometric_mean(speedups),
        win_rate=win_rate(speedups, len(group)),
        denominator=found["baseline"],
    )
