"""Whole inner runs: what a user finds on the terminal and on the disk."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

CASES = (
    {"name": "a", "latency_ms": 0.0125},
    {"name": "b", "latency_ms": 0.1},
    {"name": "c", "kind": "INCORRECT_NUMERICAL"},
    {"name": "d", "kind": "COMPILE_ERROR", "log": "main.cpp:3: error: no"},
    {"name": "e", "kind": "skip"},
)
EXPECTED = {"a": "PASSED", "b": "PASSED", "c": "INCORRECT_NUMERICAL", "d": "COMPILE_ERROR"}


def load(path: Path) -> dict:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(params=[(), ("-n2",)], ids=["alone", "xdist"])
def distribution(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if request.param:
        pytest.importorskip("xdist")
    return request.param


def test_report_traces_junit_and_summary(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess(
        "--out-report=out/r.json", "--out-traces=t", "--junitxml=j.xml", "-Werror", *distribution
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*fib: 2 passed, 2 failed, 1 skipped; speedup over the reference: arith*2.25x*1.41x*"]
    )

    document = load(pytester.path / "out" / "r.json")
    assert document["schema"] == "pytest-fib/1"
    assert {m["workload"]: m["status"] for m in document["measurements"]} == EXPECTED
    assert document["skipped"][0]["reason"] == "the blob is not here; fetch it"
    assert document["solutions"][0]["author"] == "ada"
    (score,) = document["scores"]
    assert (score["workloads"], score["passed"], score["win_rate"]) == (4, 2, 0.25)
    assert document["environment"]["hardware"]
    assert document["config"] == {"report": "out/r.json", "traces": "t"}

    lines = (pytester.path / "t/traces/ada/rmsnorm/rmsnorm_h128.jsonl").read_text().splitlines()
    assert {t["workload"]["uuid"]: t["evaluation"]["status"] for t in map(json.loads, lines)} == EXPECTED
    assert sorted(json.dumps(t) for t in document["traces"]) == sorted(
        json.dumps(json.loads(t)) for t in lines
    )

    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "j.xml").iter("testcase")}
    properties = {p.get("name"): p.get("value") for p in cases["a"].iter("property")}
    assert properties == {"status": "PASSED", "latency_ms": "0.0125", "speedup": "4.0"}
    assert {p.get("name") for p in cases["d"].iter("property")} == {"status"}


def test_table_names_definition_solution_and_each_workload(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess("-pno:benchmark")
    result.stdout.fnmatch_lines(
        [
            "*= fib =*",
            "*workload * status * latency * reference * speedup * worst abs/rel*",
            "rmsnorm_h128 · v1: 2/4 passed*",
            "*a *PASSED *12.5 ± 0.50 µs *50.0 µs *4.00x *1.0e-03/2.0e-03",
            "*c *INCORRECT_NUMERICAL *",
        ]
    )


def test_quiet_keeps_the_summary_line_alone(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    result = pytester.runpytest_inprocess("-q", "-pno:benchmark")
    result.stdout.fnmatch_lines(["fib: 2 passed, 2 failed, 1 skipped*"])
    result.stdout.no_fnmatch_line("*12.5 *")
    assert "fib:" not in pytester.runpytest_inprocess("-qq", "-pno:benchmark").stdout.str()


def test_report_holds_the_finished_items_after_an_interrupt(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"}, {"name": "b", "kind": "interrupt"}, {"name": "c"})
    result = pytester.runpytest_subprocess("--out-report=r.json", "--out-traces=t", "-pno:benchmark")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    document = load(pytester.path / "r.json")
    assert [m["workload"] for m in document["measurements"]] == ["a"]
    assert len((pytester.path / "t/traces/ada/rmsnorm/rmsnorm_h128.jsonl").read_text().splitlines()) == 1


def test_a_page_is_written_with_the_texts_of_failures(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    synthetic.write_cases(pytester.path, *CASES)
    pytester.runpytest_inprocess(
        "--out-html=new/p.html", "--out-report=r.json", "-pno:benchmark", *distribution
    )
    page = (pytester.path / "new" / "p.html").read_text("utf-8")
    assert "2 of 4 workloads passed" in page
    assert "12 of 896 elements are out" in page
    assert "main.cpp:3: error: no" in page
    failures = {m["workload"]: m["failure"] for m in load(pytester.path / "r.json")["measurements"]}
    assert failures["a"] is None
    assert failures["c"].startswith("INCORRECT_NUMERICAL: v1 on rmsnorm_h128")


def test_a_page_is_written_after_an_interrupt(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"}, {"name": "b", "kind": "interrupt"}, {"name": "c"})
    result = pytester.runpytest_subprocess("--out-html=p.html", "-pno:benchmark")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "1 of 1 workload passed" in (pytester.path / "p.html").read_text("utf-8")


def test_a_page_that_is_a_folder_is_a_usage_error(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"})
    result = pytester.runpytest_inprocess("--out-html=.")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fib-html: . is a folder; name a file"])


def test_report_survives_a_worker_that_dies(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    pytest.importorskip("xdist")
    synthetic.write_cases(pytester.path, {"name": "a"}, {"name": "b"}, {"name": "c", "kind": "die"})
    result = pytester.runpytest_inprocess("-n1", "--out-report=r.json", "--out-traces=t", "-pno:benchmark")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert [m["workload"] for m in load(pytester.path / "r.json")["measurements"]] == ["a", "b"]
    assert len((pytester.path / "t/traces/ada/rmsnorm/rmsnorm_h128.jsonl").read_text().splitlines()) == 2


def test_the_order_is_that_of_collection_also_under_xdist(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    pytest.importorskip("xdist")
    names = [f"w{i}" for i in range(12)]
    synthetic.write_cases(pytester.path, *({"name": name} for name in names))
    pytester.runpytest_inprocess("-n2", "--out-report=r.json", "-pno:benchmark")
    assert [m["workload"] for m in load(pytester.path / "r.json")["measurements"]] == names


def test_a_run_without_fib_items_writes_an_empty_report_and_prints_nothing(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path)
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest_inprocess("--out-report=r.json")
    assert result.ret == 0
    assert load(pytester.path / "r.json")["measurements"] == []
    assert "fib:" not in result.stdout.str()


def test_collecting_alone_keeps_an_earlier_report(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"})
    (pytester.path / "r.json").write_text("old")
    pytester.runpytest_inprocess("--out-report=r.json", "--collect-only")
    assert (pytester.path / "r.json").read_text() == "old"


def test_an_earlier_report_is_replaced_and_nothing_else_is_left(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"})
    (pytester.path / "out").mkdir()
    (pytester.path / "out" / "r.json").write_text("old")
    pytester.runpytest_inprocess("--out-report=out/r.json", "-pno:benchmark")
    assert [p.name for p in (pytester.path / "out").iterdir()] == ["r.json"]
    assert len(load(pytester.path / "out" / "r.json")["measurements"]) == 1


def test_a_report_that_is_a_folder_is_a_usage_error(pytester: pytest.Pytester, synthetic: ModuleType) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"})
    result = pytester.runpytest_inprocess("--out-report=.")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fib-report: . is a folder; name a file"])


def test_an_unwritable_trace_is_an_error_of_the_run_and_not_of_the_item(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, {"name": "a"})
    (pytester.path / "t" / "traces").mkdir(parents=True)
    (pytester.path / "elsewhere").mkdir()
    (pytester.path / "t" / "traces" / "ada").symlink_to(pytester.path / "elsewhere")
    result = pytester.runpytest_inprocess("--out-traces=t", "-pno:benchmark")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["--fib-traces: a trace could not be appended below t: *"])
    assert list((pytester.path / "elsewhere").iterdir()) == []


def test_hostile_names_make_neither_a_path_nor_markup(
    pytester: pytest.Pytester, synthetic: ModuleType, distribution: tuple[str, ...]
) -> None:
    hostile = "../../x\x1b[31m<script>alert(1)</script>\u202e"
    case = {"name": "a", "solution": hostile, "author": hostile, "definition": hostile}
    failing = {**case, "name": "b", "kind": "RUNTIME_ERROR", "log": "\x1b[2Jboo\x00\r\nline two"}
    before = {path.name for path in pytester.path.parent.iterdir()}
    synthetic.write_cases(pytester.path, case, failing)
    rows = ["--benchmark-json=b.json"] if importlib.util.find_spec("pytest_benchmark") else []
    result = pytester.runpytest_inprocess(
        "--color=no", "--out-report=r.json", "--out-traces=t", "--junitxml=j.xml", *rows, *distribution
    )
    text = result.stdout.str()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "../../x\\x1b[31m<script>" in text
    ElementTree.parse(pytester.path / "j.xml")
    document = load(pytester.path / "r.json")
    assert document["solutions"][0]["name"] == hostile
    written = [path for path in (pytester.path / "t").rglob("*") if path.is_file()]
    assert len(written) == 1
    assert all(set(part) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.-ABCDEFGHIJKLMNOPQRSTUVWXYZ")
               for part in written[0].relative_to(pytester.path).parts)  # fmt: skip
    assert {path.name for path in pytester.path.parent.iterdir()} == before


def test_failure_says_status_first_and_in_the_short_summary(
    pytester: pytest.Pytester, synthetic: ModuleType
) -> None:
    synthetic.write_cases(pytester.path, {"name": "c", "kind": "INCORRECT_NUMERICAL"})
    result = pytester.runpytest_inprocess("-pno:benchmark")
    result.stdout.fnmatch_lines(
        [
            "INCORRECT_NUMERICAL: v1 on rmsnorm_h128*",
            "output 'y', call 3:*",
            "FAILED *::c - *INCORRECT_NUMERICAL:*",
        ]
    )
