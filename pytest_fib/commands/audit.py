"""``fib audit``: null solutions against the rules and workloads of definitions."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fib.commands import _output
from pytest_fib.commands._options import add_traceset_option
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError, FibError, NotJudgeable, SettingsError

if TYPE_CHECKING:
    from pytest_fib.cli import Subparsers
    from pytest_fib.data.traceset import Traceset
    from pytest_fib.data.workload import Workload
    from pytest_fib.judge.audit import Audit
    from pytest_fib.settings import Settings

HELP = """\
Give the rule of each definition outputs that nobody computed, on its workloads: zeros, inputs copied, the reference's
first row in all rows, what was there before. Prints which of them pass; the exit status is 1 if any does.
"""
_SECRET = b"nobody has to guess these inputs"
_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class _Subject:
    """A definition and the file of its workloads."""

    traceset: Traceset
    workloads: Path

    @property
    def name(self) -> str:
        """The name of the definition."""
        return self.workloads.stem


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser."""
    parser = subparsers.add_parser(
        "audit", help="see whether solutions that compute nothing would pass", description=HELP
    )
    parser.add_argument(
        "subjects",
        nargs="*",
        metavar="TRACESET-OR-DEFINITION",
        help="dataset folders, and definitions in them by name or glob (default: all, as in a test run)",
    )
    add_traceset_option(parser)
    parser.add_argument(
        "--profile",
        default="default",
        choices=("default", "quick", "mlsys26"),
        help="whose tolerances (default: default)",
    )
    parser.add_argument(
        "--workloads",
        type=int,
        metavar="N",
        help="of each definition the N with the smallest axes (default: all)",
    )
    parser.add_argument(
        "--megabytes", type=int, default=8000, metavar="N", help="skip larger inputs (default: 8000)"
    )


def run(namespace: argparse.Namespace) -> int:
    """Audit; returns 0 if no null solution passes, 1 if one does or something is broken, 2 for wrong usage."""
    from pytest_fib.settings import Settings

    try:
        subjects = list(_subjects(namespace.subjects, namespace.fib_traceset))
    except SettingsError as error:
        return _output.fail(str(error))
    counts: Counter[str] = Counter()
    settings = Settings(profile=namespace.profile)
    for subject in subjects:
        lines = _audited(subject, settings, namespace.workloads, namespace.megabytes * _MEGABYTE)
        for outcome, line in lines:
            counts[outcome] += 1
            if line:
                _output.write(f"{outcome}: {escape(subject.name, 120)}, {line}")
    _output.write(
        f"{len(subjects)} definitions, {counts['ok']} workloads that no null solution passes, "
        f"{counts['PASSES']} that one does, {counts['skipped']} skipped, {counts['broken']} broken"
    )
    return 1 if counts["PASSES"] or counts["broken"] else 0


def _audited(
    subject: _Subject, settings: Settings, most: int | None, nbytes: int
) -> Iterator[tuple[str, str]]:
    """Yield for each workload an outcome, and a line if there is something to say."""
    try:
        audit = _audit(subject, settings, nbytes)
        workloads = _workloads(subject)
    except FibError as error:
        yield "broken", str(error)
        return
    for workload in sorted(workloads, key=lambda w: sum(w.axes.values()))[:most]:
        axes = ", ".join(f"{escape(name, 40)}={size}" for name, size in workload.axes.items())
        where = f"workload {escape(workload.uuid, 60)} ({axes})"
        try:
            passing = audit.passing(workload)
        except NotJudgeable as error:
            yield "skipped", f"{where}: {error}"
        except DataError as error:
            yield "broken", f"{where}: {error}"
        else:
            yield ("PASSES", f"{where}: {'; '.join(passing)}") if passing else ("ok", "")


def _audit(subject: _Subject, settings: Settings, nbytes: int) -> Audit:
    from pytest_fib.judge import JudgeConfig, Limits
    from pytest_fib.judge.audit import Audit

    definition = subject.traceset.definition(subject.name)
    config = JudgeConfig(
        secret=_SECRET,
        limits=Limits(input_bytes=nbytes),
        tolerance=settings.tolerance_for(definition.name, definition.op_type),
    )
    return Audit(definition, subject.traceset.root, config)


def _workloads(subject: _Subject) -> list[Workload]:
    from pytest_fib.data.readers import read_workloads
    from pytest_fib.data.workload import WorkloadLine

    workloads = []
    for line in read_workloads(subject.workloads):
        if not isinstance(line, WorkloadLine):
            raise line
        workloads.append(line.workload)
    return workloads


def _subjects(words: Sequence[str], folders: Iterable[str]) -> Iterator[_Subject]:
    from pytest_fib.data.traceset import Traceset
    from pytest_fib.named import find_tracesets
    from pytest_fib.settings import Settings

    named = tuple(Path(os.path.abspath(folder)) for folder in folders)
    settings = Settings(tracesets=named, tracesets_from_flag=True)
    known = find_tracesets(settings, Path.cwd(), os.environ)
    roots = [word for word in words if (Path(word) / "definitions").is_dir()]
    tracesets = [Traceset(Path(os.path.abspath(root))) for root in roots] or known
    for word in [word for word in words if word not in roots] or ["*"]:
        found = [subject for traceset in tracesets for subject in _files(traceset, word)]
        if not found:
            raise SettingsError(
                f"{escape(word, 120)} is neither a dataset nor a definition with workloads in one; correct it or "
                "name the dataset with --fib-traceset=DIR"
            )
        yield from found


def _files(traceset: Traceset, pattern: str) -> list[_Subject]:
    files = [path for path in traceset.workload_files() if fnmatchcase(path.stem, pattern)]
    return [_Subject(traceset, path) for path in files]
