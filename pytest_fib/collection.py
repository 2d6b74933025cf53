"""Workload files become collectors, and each workload, for each solution, an item that asks the judge."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.files import shown
from pytest_fib.data.text import slug
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.errors import DataError
from pytest_fib.items import (
    BUILD,
    FUZZ,
    BadItem,
    BuildItem,
    FuzzItem,
    WorkloadItem,
    build,
    judge,
    judge_with_benchmark,
    search,
)
from pytest_fib.named import BadSolution, NamedSolution, is_starter_kit
from pytest_fib.rows import Row, describe, read_lines, read_rows
from pytest_fib.session import FibSession

WORKLOAD_SUFFIXES = (".jsonl", ".json")


def collect_file(fib: FibSession, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of a workload file whose definition has a named solution, or of a bad solution file."""
    if path.suffix not in WORKLOAD_SUFFIXES:
        return None
    for bad in fib.bad_solutions:
        if bad.path == path:
            return BadSolutionFile.of(parent, bad)
    if path.stem not in fib.by_definition or "workloads" not in path.parts:
        return None
    traceset = fib.traceset_of(path)
    return WorkloadFile.of(parent, path, fib, traceset) if traceset else None


def collect_directory(fib: FibSession, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """The collector of a bad starter-kit folder; nothing in the folder is collected or imported."""
    for bad in fib.bad_solutions:
        if bad.path == path:
            return BadSolutionFile.of(parent, bad)
    return None


def is_ignored(fib: FibSession, path: Path) -> bool:
    """Whether a folder is left out: a traceset's data, or a named starter-kit folder with its own tests."""
    if path.name in ("blob", "traces"):
        return (path.parent / "definitions").is_dir() or (path.parent / "workloads").is_dir()
    kits = (named.loaded.path for named in fib.solutions)
    return path in kits and is_starter_kit(path) and not fib.config.rootpath.is_relative_to(path)


def set_arguments(fib: FibSession) -> None:
    """Make pytest collect the named solutions' workloads, unless the user said what to collect."""
    config = fib.config
    if fib.explicit_paths:
        return
    wanted = [*fib.workload_files(), *(bad.path for bad in fib.bad_solutions)]
    if fib.settings.solutions_from_flag:
        config.args = [str(path) for path in wanted]
    else:
        given = [config.invocation_params.dir / arg for arg in config.args]
        config.args += [str(path) for path in wanted if not any(path.is_relative_to(g) for g in given)]


class WorkloadFile(pytest.Module):
    """One workload file: a collector for each solution of its definition, and an item for each bad line.

    It is a module without an object, so that fixtures of every scope work in its items.
    """

    obj: Any = None
    fib: FibSession
    traceset: Traceset

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path, fib: FibSession, traceset: Traceset) -> WorkloadFile:
        """Make the collector of a workload file of ``traceset``."""
        file: WorkloadFile = cls.from_parent(
            parent, path=path, **_shown_as(path, parent, f"fib/{traceset.name}")
        )
        file.fib, file.traceset = fib, traceset
        return file

    @cached_property
    def definition(self) -> Definition:
        """The definition that the file is named after; raises DataError."""
        return self.fib.definition(self.path.stem, self.traceset)

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        """Yield a collector per solution, then an item per line that cannot be read."""
        try:
            rows, problems = read_rows(self.path, self.definition)
        except DataError as error:
            raise self.CollectError(str(error)) from None
        for named in self.fib.by_definition[self.definition.name]:
            yield SolutionCollector.of(self, named, rows)
        for number, problem in enumerate(problems, 1):
            yield BadItem.of(self, f"bad-line-{number}", problem)

    def workload(self, row: Row) -> Workload:
        """The workload of a row; raises DataError when the file has changed since it was collected."""
        line = self._lines.get(row.lineno)
        if line is None or line.workload.uuid != row.facts["uuid"]:
            raise DataError(
                f"{shown(self.path)}:{row.lineno} changed after it was collected; run pytest again"
            )
        return line.workload

    @property
    def workloads(self) -> list[Workload]:
        """The workloads of all lines that can be read."""
        return [line.workload for line in self._lines.values()]

    @cached_property
    def _lines(self) -> dict[int, WorkloadLine]:
        return {
            line.lineno: line
            for line in read_lines(self.path, self.definition)
            if isinstance(line, WorkloadLine)
        }


class SolutionCollector(pytest.Collector):
    """One solution on all workloads of a file."""

    parent: WorkloadFile
    named: NamedSolution
    rows: list[Row]

    @classmethod
    def of(cls, parent: WorkloadFile, named: NamedSolution, rows: list[Row]) -> SolutionCollector:
        """Make the collector of one solution."""
        collector: SolutionCollector = cls.from_parent(parent, name=named.slug)
        collector.named, collector.rows = named, rows
        return collector

    def collect(self) -> Iterator[pytest.Item]:
        """Yield an item per workload, and one for further shapes where they are wanted; or one that builds."""
        about = describe(self.parent.definition, self.named.loaded.solution)
        if self.parent.fib.settings.build_only:
            self.parent.fib.tally.offered += 1
            built: BuildItem = BuildItem.from_parent(self, name=BUILD, callobj=build)
            built.add_marker(pytest.mark.fib(**about))
            yield built
            return
        yield from self._workload_items(about)
        if self.parent.fib.settings.fuzz:
            self.parent.fib.tally.offered += 1
            item: FuzzItem = FuzzItem.from_parent(self, name=FUZZ, callobj=search)
            item.add_marker(pytest.mark.fib(**about))
            yield item

    def _workload_items(self, about: dict[str, str]) -> Iterator[WorkloadItem]:
        """Yield an item per workload. They share what pytest knows about the fixtures that they request."""
        from pytest_fib.bridge.benchmark import wants_fixture

        self.parent.fib.tally.offered += len(self.rows)
        function = judge_with_benchmark if wants_fixture(self.config) else judge
        mark_with = pytest.mark.fib.with_args
        shared: dict[str, Any] = {}
        for row in self.rows:
            item: WorkloadItem = WorkloadItem.from_parent(self, name=row.name, callobj=function, **shared)
            item.row = row
            mark = mark_with(**{**row.facts, **about}).mark
            item.own_markers.append(mark)
            item.keywords["fib"] = mark
            if not shared and hasattr(item, "_fixtureinfo"):
                shared["fixtureinfo"] = item._fixtureinfo
            yield item


class BadSolutionFile(pytest.File):
    """A file or folder that the ini names as a solution and that cannot be one."""

    problem: str

    @classmethod
    def of(cls, parent: pytest.Collector, bad: BadSolution) -> BadSolutionFile:
        """Make the collector of a bad solution."""
        file: BadSolutionFile = cls.from_parent(parent, path=bad.path, **_shown_as(bad.path, parent, "fib"))
        file.problem = bad.problem
        return file

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the one item that fails."""
        yield BadItem.of(self, "unusable", self.problem)


def _shown_as(path: Path, parent: pytest.Collector, folder: str) -> dict[str, Any]:
    """Name and id of a file that has none fit to print from pytest: outside rootdir, or with an odd name."""
    if path.is_relative_to(parent.config.rootpath) and str(path).isprintable():
        return {}
    name = slug(path.stem) + path.suffix
    return {"name": name, "nodeid": f"{folder}/{name}"}
