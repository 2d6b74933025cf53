from __future__ import annotations

import pytest

CONFTEST = """
from pytest_fib.bridge.xdist import is_controller, is_worker

def pytest_configure(config):
    with open(config.rootpath / "seen.txt", "a") as file:
        print(is_controller(config), is_worker(config), file=file)
"""


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        ((), ["False False"]),
        (("-n1",), ["True False", "False True"]),
        (("-n0",), ["False False"]),
        (("-pno:xdist",), ["False False"]),
    ],
)
def test_each_process_knows_its_part(
    pytester: pytest.Pytester, args: tuple[str, ...], seen: list[str]
) -> None:
    if args and args[0].startswith("-n"):
        pytest.importorskip("xdist")
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\n")
    pytester.makepyfile("def test_it(): pass")
    assert pytester.runpytest_inprocess(*args).ret == 0
    assert (pytester.path / "seen.txt").read_text().splitlines() == seen
