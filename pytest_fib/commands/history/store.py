"""The SQLite file behind ``fib history``: runs and their measurements."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType

from pytest_fib.data.files import shown
from pytest_fib.data.results import Conditions, Report
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError

_APPLICATION = 0x66696268  # "fibh": SQLite's own field for telling files apart
_VERSION = 1
_WAIT_S = 30.0
_TABLES = """
CREATE TABLE run (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, finished REAL NOT NULL, revision TEXT NOT NULL,
    conditions TEXT NOT NULL);
CREATE TABLE measurement (
    run INTEGER NOT NULL REFERENCES run, definition TEXT NOT NULL, workload TEXT NOT NULL, solution TEXT NOT NULL,
    solution_hash TEXT NOT NULL, status TEXT NOT NULL, clock TEXT, latency_ms REAL);
CREATE INDEX measurement_of_run ON measurement (run);
"""
_ROWS = """
SELECT run.conditions, definition, workload, solution, clock, finished, revision, solution_hash, status, latency_ms
FROM measurement JOIN run ON run.id = measurement.run ORDER BY finished, run.id, measurement.rowid
"""


@dataclass(frozen=True)
class Point:
    """One run's word on one series; ``latency_ms`` is None where it failed, or was not timed."""

    finished: datetime
    commit: str
    solution_hash: str
    status: str
    latency_ms: float | None


@dataclass
class Series:
    """One solution, by name, on one workload under equal conditions; points in the order of time."""

    conditions: Conditions
    definition: str
    workload: str
    solution: str
    clock: str | None
    points: list[Point] = field(default_factory=list)


class History:
    """An open history; a context manager.

    Raises
    ------
    DataError
        The file is not there (unless ``create``), is not a history, or SQLite cannot use it; so every method.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self._path = path
        if not create and not path.is_file():
            raise DataError("is not there; make it with fib history add", where=shown(path))
        with self._naming():
            self._connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
        try:
            with self._naming():
                self._open(create)
        except DataError:
            self._connection.close()
            raise

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def add(self, report: Report, raw: bytes, path: Path) -> bool:
        """Add a report that is made of the bytes ``raw``; returns False if it is there already.

        A report without traces does not say when it was made; the time of its file counts.
        """
        when = report.finished or datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
        run = (hashlib.sha256(raw).hexdigest(), when.timestamp(), report.commit, _dumped(report.conditions))
        with self._naming(), self._transaction():
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO run (digest, finished, revision, conditions) VALUES (?, ?, ?, ?)", run
            )
            if cursor.rowcount != 1:
                return False
            rows = [
                (
                    *(
                        cursor.lastrowid,
                        found.definition,
                        found.workload,
                        found.solution,
                        found.solution_hash,
                    ),
                    *(found.status.value, found.clock, found.timed_ms),
                )
                for found in report.measurements
            ]
            self._connection.executemany("INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return True

    def runs(self) -> int:
        """Return how many runs there are."""
        with self._naming():
            return int(self._connection.execute("SELECT count(*) FROM run").fetchone()[0])

    def series(self, patterns: Sequence[str] = (), last: int = 100) -> list[Series]:
        """Return the ``last`` points of each series whose definition or solution fits one of the globs, or of all."""
        table = _Table()
        with self._naming():
            for conditions, definition, workload, solution, clock, *point in self._connection.execute(_ROWS):
                if patterns and not any(fnmatchcase(n, p) for n in (definition, solution) for p in patterns):
                    continue
                table.add(
                    Series(_loaded(conditions), definition, workload, solution, clock, [_point(*point)])
                )
        return [_cut(series, last) for series in table.series]

    def _open(self, create: bool) -> None:
        for pragma in ("trusted_schema = OFF", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self._transaction():
            if create and not self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
        marks = [
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("application_id", "user_version")
        ]
        if marks[0] != _APPLICATION:
            raise DataError("is an SQLite file, but no history; name another with --db")
        if marks[1] != _VERSION:
            raise DataError(
                f"is a history of version {marks[1]}, and {_VERSION} is known; use a newer pytest-fib"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            reason = escape(str(error), 120)
            raise DataError(
                f"SQLite cannot use it ({reason}); check the file", where=shown(self._path)
            ) from None
        except (TypeError, ValueError, OverflowError, KeyError, OSError):
            raise DataError(
                "has values that no history has; name another with --db", where=shown(self._path)
            ) from None
        except DataError as error:
            raise DataError(*error.sentences, where=error.where or shown(self._path)) from None


class _Table:
    """Series in the making; what failed has no clock, and belongs to the series that was there last."""

    def __init__(self) -> None:
        self.series: list[Series] = []
        self._known: dict[tuple[object, ...], dict[str | None, Series]] = {}

    def add(self, piece: Series) -> None:
        """Append the points of ``piece`` to those of its series, which may be new."""
        clocks = self._known.setdefault(
            (piece.conditions, piece.definition, piece.workload, piece.solution), {}
        )
        if piece.clock is None and clocks:
            whole = next(reversed(clocks.values()))
        elif piece.clock in clocks:
            whole = clocks.pop(piece.clock)
        elif None in clocks:  # the first that did not fail
            whole = clocks.pop(None)
            whole.clock = piece.clock
        else:
            whole = piece
            self.series.append(whole)
        clocks[whole.clock] = whole
        if whole is not piece:
            whole.points += piece.points


def _cut(series: Series, last: int) -> Series:
    del series.points[:-last]
    return series


def _point(finished: float, commit: str, solution_hash: str, status: str, latency_ms: float | None) -> Point:
    when = datetime.fromtimestamp(finished, timezone.utc)
    latency = None if latency_ms is None else float(latency_ms)
    if latency is not None and not 0 < latency < float("inf"):
        raise ValueError("latencies are positive")
    return Point(when, str(commit), str(solution_hash), str(status), latency)


def _dumped(conditions: Conditions) -> str:
    return json.dumps(asdict(conditions), sort_keys=True)


def _loaded(text: str) -> Conditions:
    values = json.loads(text)
    return Conditions(**{each.name: values[each.name] for each in fields(Conditions)})
