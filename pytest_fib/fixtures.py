"""What stands behind the fixtures for users' own tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.active import active_session
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.readers import read_solution
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.errors import DataError, NoDevice, NotJudgeable, SettingsError
from pytest_fib.named import NamedSolution
from pytest_fib.report.recording import record_evaluation
from pytest_fib.rows import describe, fib_mark, item_names, read_lines
from pytest_fib.session import FibSession


class Evaluate:
    """The value of the fixture ``fib_evaluate``."""

    def __init__(self, fib: FibSession, item: pytest.Item) -> None:
        self._fib = fib
        self._item = item

    def __call__(self, solution: LoadedSolution | Path | str, workload: WorkloadLine) -> Evaluation:
        """Judge a solution, or the solution at a path, on a workload.

        Raises
        ------
        DataError
            The solution, the definition or the workload cannot be used.
        """
        loaded = solution if isinstance(solution, LoadedSolution) else read_solution(Path(solution))
        traceset = self._fib.traceset_of(workload.path)
        if traceset is None:
            raise DataError(f"{workload.path} is in no folder 'workloads' of a dataset; move it there")
        definition = self._fib.definition(workload.definition, traceset)
        try:
            evaluation = self._fib.evaluate(definition, workload.workload, loaded, traceset.root)
        except NotJudgeable as reason:
            if isinstance(reason, NoDevice) and self._fib.settings.require_device:
                pytest.fail(str(reason), pytrace=False)
            pytest.skip(str(reason))
        record_evaluation(self._item, evaluation, workload.workload, loaded)
        return evaluation


@contextmanager
def session(config: pytest.Config) -> Iterator[FibSession]:
    """The run's session, or one for tests that judge where no solution is named."""
    active = active_session(config)
    if active is not None:
        yield active
        return
    try:
        own = FibSession(config)
    except SettingsError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        yield own
    finally:
        own.close()


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a test for each named solution, each workload, or each pair that belongs together."""
    names = [name for name in ("fib_solution", "fib_workload") if name in metafunc.fixturenames]
    fib = active_session(metafunc.config)
    cases = list(_cases(fib, names)) if fib else []
    metafunc.parametrize(names, cases, indirect=True)


def _cases(fib: FibSession, names: Sequence[str]) -> Iterator[Any]:
    if "fib_workload" not in names:
        for named in fib.solutions:
            yield pytest.param(named.loaded, id=named.slug)
        return
    for path in fib.workload_files():
        yield from _cases_of_file(fib, path, names)


def _cases_of_file(fib: FibSession, path: Path, names: Sequence[str]) -> Iterator[Any]:
    traceset = fib.traceset_of(path)
    assert traceset is not None
    try:
        definition = fib.definition(path.stem, traceset)
        lines = [line for line in read_lines(path, definition) if isinstance(line, WorkloadLine)]
    except DataError:  # reported where the file itself is collected
        return
    with_solution: tuple[NamedSolution | None, ...] = (
        fib.by_definition[definition.name] if len(names) == 2 else (None,)
    )
    for named in with_solution:
        for name, line in zip(item_names(lines, definition), lines, strict=True):
            if named is None:
                yield pytest.param(line, id=f"{definition.name}-{name}")
            else:
                mark = fib_mark(line.workload, describe(definition, named.loaded.solution))
                yield pytest.param(named.loaded, line, id=f"{named.slug}-{name}", marks=mark)
