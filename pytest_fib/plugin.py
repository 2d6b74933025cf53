"""The pytest plugin: hooks of one line each that call the rooms, and three fixtures.

It is loaded at every start of pytest, so nothing heavy is imported here. Only a run that names a solution, by
a flag or by the ini, gets the hooks of ``pytest_fib.active``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fib import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fib.data.solution import LoadedSolution
    from pytest_fib.data.workload import WorkloadLine
    from pytest_fib.fixtures import Evaluate
    from pytest_fib.session import FibSession

MARKER = (
    "fib(definition, op_type, solution, author, language, uuid, <axis>): on every workload that pytest-fib "
    "collects; select with -m \"fib(op_type='moe')\""
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_addoption"""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_load_initial_conftests"""
    if options.any_given(args):
        from pytest_fib.guard import check_start

        check_start(early_config, args)


def pytest_configure(config: pytest.Config) -> None:
    """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_configure"""
    config.addinivalue_line("markers", MARKER)
    if options.names_solutions(config):
        from pytest_fib.active import activate

        activate(config)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """https://pytest-xdist.readthedocs.io/en/stable/how-to.html#hooks"""
    if options.names_solutions(config):
        from pytest_fib.gpus import workers

        return workers(config)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """https://docs.pytest.org/en/stable/reference/reference.html#std-hook-pytest_generate_tests"""
    if "fib_solution" in metafunc.fixturenames or "fib_workload" in metafunc.fixturenames:
        from pytest_fib.fixtures import parametrize

        parametrize(metafunc)


@pytest.fixture
def fib_solution(request: pytest.FixtureRequest) -> LoadedSolution:
    """Each solution that the run names, in turn; a test that requests it is skipped where there is none."""
    solution: LoadedSolution = request.param
    return solution


@pytest.fixture
def fib_workload(request: pytest.FixtureRequest) -> WorkloadLine:
    """Each workload of the named solutions' definitions; beside ``fib_solution``, those of its definition."""
    workload: WorkloadLine = request.param
    return workload


@pytest.fixture(scope="session")
def _fib_session(pytestconfig: pytest.Config) -> Iterator[FibSession]:
    """The run's session; where no solution is named, one that lives as long as the tests that need it."""
    from pytest_fib.fixtures import session

    with session(pytestconfig) as fib:
        yield fib


@pytest.fixture
def fib_evaluate(request: pytest.FixtureRequest, _fib_session: FibSession) -> Evaluate:
    """A function that judges: ``fib_evaluate(solution, workload) -> Evaluation``.

    ``solution`` is what ``fib_solution`` gives, or the path of a solution; ``workload`` is what
    ``fib_workload`` gives. A workload that cannot be judged here skips the test. The evaluation is kept in the
    run's report; whether it makes the test pass is the test's own decision.
    """
    from pytest_fib.fixtures import Evaluate

    return Evaluate(_fib_session, request.node)
