from __future__ import annotations

from typing import Any

import pytest

from pytest_fib.border.idle import NO_WORK, SOURCE, Work
from pytest_fib.border.order import Order
from pytest_fib.build import idle, idle_cpp, language_module


def order_of(work: Work, language: str = "idle", **more: Any) -> Order:
    fields = {"entry_file": "", "entry_symbol": "run", "sources": {}, "artifact_dir": "", **more}
    return Order(language, destination_passing=True, inputs=1, outputs=("y",), work=work, **fields)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    pytest.importorskip("tvm_ffi")
    folder = str(tmp_path_factory.mktemp("idle"))
    idle_cpp.build(order_of(NO_WORK, sources={SOURCE.name: SOURCE.read_text()}, artifact_dir=folder))
    return folder


@pytest.fixture(params=["idle", "idle_cpp"])
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def loaded(language: str, work: Work, request: pytest.FixtureRequest) -> Any:
    folder = request.getfixturevalue("compiled") if language == "idle_cpp" else ""
    order = order_of(work, language, artifact_dir=folder)
    return language_module(order).load(order)


def test_without_work_nothing_is_told(
    language: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    run = loaded(language, NO_WORK, request)
    for arguments in ((), (1, 2.0), (True,) * 9):
        assert run(*arguments) is None
    assert capfd.readouterr().out == ""


def test_work_is_told_behind_the_last_request_and_again(
    language: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    run = loaded(language, Work(ns=50_000, nbytes=4096, places=2, requests=(1, 2)), request)
    told = []
    for _ in range(2):
        run(1)
        run(2)
        assert capfd.readouterr().out == ""
        run(3)
        told += [int(word) for word in capfd.readouterr().out.split()]
    assert len(told) == 4
    # Python's work is measured when it is loaded, and takes about as long again.
    least = 50_000 if language == "idle_cpp" else 15_000
    assert min(told[0::2]) > least
    assert min(told[1::2]) > 2 * least


def test_all_bytes_are_written_however_short_it_is(
    language: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    medians = []
    for nbytes in (1 << 24, 1 << 10):
        run = loaded(language, Work(ns=1, nbytes=nbytes, requests=(1,) * 5), request)
        for _ in range(5):
            run()
        medians.append(sorted(map(int, capfd.readouterr().out.split()))[2])
    assert medians[0] > 10 * medians[1]


def test_python_works_for_as_long_as_it_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    medians = []
    for ns in (50_000, 800_000):
        run = idle.load(order_of(Work(ns=ns, requests=(1,) * 5)))
        for _ in range(5):
            run()
        medians.append(sorted(map(int, capfd.readouterr().out.split()))[2])
    assert 4 < medians[1] / medians[0] < 64


@pytest.mark.parametrize("work", [NO_WORK, Work(1, 2, 3, (4, 5))])
def test_work_goes_with_the_order(work: Work) -> None:
    assert Order.from_text(order_of(work).to_text()).work == work
