"""pytest-benchmark's table, JSON and comparisons, filled with the judge's samples."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from pytest_fib.bridge.benchmark import add_samples, judge_clock, timing_disabled
from pytest_fib.cli import main

needs_benchmark = pytest.mark.usefixtures("_benchmark_installed")
CASES = (
    {"name": "w1", "solution": "v1", "latency_ms": 0.0125},
    {"name": "w2", "solution": "v2", "latency_ms": 3e-5},
    {"name": "w3", "kind": "RUNTIME_ERROR", "log": "boom"},
    {"name": "w4", "kind": "skip"},
)


@pytest.fixture
def _benchmark_installed() -> None:
    pytest.importorskip("pytest_benchmark")


@pytest.fixture(params=[(), ("-n2",)], ids=["alone", "xdist"])
def distribution(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param:
        pytest.importorskip("xdist")
    return request.param


@pytest.fixture(autouse=True)
def _no_cpu_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """py-cpuinfo starts processes and takes a second."""
    try:
        import cpuinfo
    except ImportError:
        return
    monkeypatch.setattr(cpuinfo, "get_cpu_info", dict)


def rows(path: Path) -> dict[str, dict]:
    return {row["fullname"].rpartition("::")[2]: row for row in json.loads(path.read_text())["benchmarks"]}


@needs_benchmark
def test_table_and_json(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess("--benchmark-json=b.json", "-Werror", *distribution)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["*benchmark 'rmsnorm_h128': 2 tests*", "w2?v2? *", "w1?v1? *"])

    found = rows(pytester.path / "b.json")
    assert set(found) == {"w1", "w2"}
    expected = [sample / 1e3 for sample in synthetic.timing(0.0125).samples_ms]
    assert found["w1"]["stats"]["data"] == expected
    assert found["w1"]["stats"]["rounds"] == 15
    assert found["w1"]["options"]["timer"] == "judge_clock"
    assert found["w1"]["group"] == "rmsnorm_h128"
    assert found["w1"]["params"] == {"solution": "v1", "batch_size": 7}
    info = found["w1"]["extra_info"]
    assert info["definition"] == "rmsnorm_h128"
    assert info["workload"] == "w1"
    assert info["solution"] == "v1"
    assert info["latency_ms"] == pytest.approx(0.0125)
    assert info["speedup"] == pytest.approx(4.0)


@needs_benchmark
def test_rows_are_the_same_with_and_without_xdist(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    pytest.importorskip("xdist")
    synthetic.write_cases(pytester.path, *CASES)
    pytester.runpytest_inprocess("--benchmark-json=alone.json")
    pytester.runpytest_inprocess("--benchmark-json=xdist.json", "-n2")
    alone, xdist = rows(pytester.path / "alone.json"), rows(pytester.path / "xdist.json")
    for found in (*alone.values(), *xdist.values()):
        del found["options"]
    assert alone == xdist


@needs_benchmark
def test_autosave_and_compare(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1", "latency_ms": 0.01})
    pytester.runpytest_inprocess("--benchmark-autosave", *distribution)
    assert len(list(pytester.path.glob(".benchmarks/*/0001_*.json"))) == 1
    result = pytester.runpytest_inprocess("--benchmark-compare", *distribution)
    result.stdout.fnmatch_lines(["w1?v1? (0001_*) *", "w1?v1? (NOW) *"])

    synthetic.write_cases(pytester.path, {"name": "w1", "latency_ms": 0.02})
    result = pytester.runpytest_inprocess(
        "--benchmark-compare", "--benchmark-compare-fail=median:10%", *distribution
    )
    assert result.ret != 0
    assert "Performance has regressed" in result.stderr.str()


@needs_benchmark
def test_comparing_beside_reports(
    pytester: pytest.Pytester,
    synthetic: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(pytester.path)
    for latency, *flags in (
        (0.01, "--benchmark-autosave", "--out-report=0.json"),
        (0.02, "--benchmark-compare", "--out-report=1.json"),
    ):
        synthetic.write_cases(pytester.path, {"name": "w1", "latency_ms": latency})
        result = pytester.runpytest_inprocess(*flags)
    result.stdout.fnmatch_lines(["w1?v1? (0001_*) *", "w1?v1? (NOW) *"])
    capsys.readouterr()
    assert main(["history", "add", "0.json", "1.json"]) == 0
    assert main(["compare", "0.json", "1.json"]) == 0
    assert "10.0 µs  20.0 µs  2.000" in capsys.readouterr().out


@needs_benchmark
@pytest.mark.parametrize("flags", ["--benchmark-disable", "--benchmark-skip", "--benchmark-disable -n1"])
def test_disabled_means_correctness_only(
    pytester: pytest.Pytester, synthetic: ModuleType, flags: str
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess(*flags.split(), "--out-report=r.json", "-Werror")
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    document = json.loads((pytester.path / "r.json").read_text())
    assert [m["latency_ms"] for m in document["measurements"]] == [None] * 3
    assert [t["evaluation"]["status"] for t in document["traces"]] == ["RUNTIME_ERROR"]
    assert document["scores"][0]["win_rate"] is None


@needs_benchmark
def test_benchmark_only_keeps_the_workloads(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"})
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("--benchmark-only", "--benchmark-json=b.json")
    result.assert_outcomes(passed=1, skipped=1)
    assert set(rows(pytester.path / "b.json")) == {"w1"}


@needs_benchmark
def test_a_run_that_only_fails_has_no_rows_and_no_warning(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1", "kind": "TIMEOUT"})
    result = pytester.runpytest_inprocess("--benchmark-json=b.json", "-Werror")
    result.assert_outcomes(failed=1)
    assert rows(pytester.path / "b.json") == {}


@needs_benchmark
def test_profiling_does_not_break_the_replay(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"})
    result = pytester.runpytest_inprocess("--benchmark-cprofile=tottime", "--benchmark-json=b.json")
    result.assert_outcomes(passed=1)
    assert len(rows(pytester.path / "b.json")["w1"]["stats"]["data"]) == 15


@needs_benchmark
def test_a_users_own_benchmarks_keep_their_clock(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "w1"})
    pytester.makepyfile("def test_mine(benchmark): benchmark.pedantic(sorted, args=([3, 1],), rounds=2)")
    result = pytester.runpytest_inprocess("--benchmark-json=b.json")
    result.assert_outcomes(passed=2)
    assert rows(pytester.path / "b.json")["test_mine"]["options"]["timer"] == "perf_counter"


def test_works_without_pytest_benchmark(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess("-pno:benchmark", "-Werror", *distribution)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(["fib: 2 passed, 1 failed, 1 skipped*"])
    result.stdout.no_fnmatch_line("*benchmark '*")


@pytest.mark.parametrize(
    ("options", "disabled"),
    [
        ({}, False),
        ({"benchmark_disable": True}, True),
        ({"benchmark_disable": True, "benchmark_enable": True}, False),
        ({"benchmark_skip": True}, True),
        ({"benchmark_skip": True, "benchmark_only": True}, False),
    ],
)
def test_timing_disabled_follows_the_options(options: dict[str, bool], disabled: bool) -> None:
    config = SimpleNamespace(getoption=lambda name, default=None: options.get(name, default))
    assert timing_disabled(config) is disabled  # type: ignore[arg-type]


def test_another_plugins_fixture_is_left_alone(synthetic: ModuleType) -> None:
    class Codspeed:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"{name} was touched")

    add_samples(Codspeed(), synthetic.evaluation())
    add_samples(None, synthetic.evaluation())


def test_the_clock_rests_at_zero() -> None:
    assert judge_clock() == 0.0
