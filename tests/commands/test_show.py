"""``fib show``: everything that a file says, aligned, escaped, no wider than the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_fib.cli import main
from pytest_fib.commands._output import table

if TYPE_CHECKING:
    from conftest import Dataset, Fib

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n" % 0

DEFINITION_PAGE = """\
scale_n4
  op type  scale
  file     set/definitions/scale/scale_n4.json
  tags     stage:test
  about    Each row times its factor.

axes
  rows  var       how many
  n     const  4

inputs
  x        float32  [rows, n]
  factors  int32    [rows]
  bias     float32  scalar

outputs
  y  bfloat16  [rows, n]

constraints
  rows < 100

reference
  def run(x, factors, bias):
      return (x * factors[:, None] + bias).bfloat16()
"""
WORKLOAD_PAGE = """\
workload 0123abcd-0000-4000-8000-000000000000
  definition  scale_n4
  file        set/workloads/scale/scale_n4.jsonl:1
  axes        rows=3

inputs
  x        float32  [3, 4]  48 B  random
  factors  int32    [3]     12 B  'factors' in ./blob/a.safetensors
  bias     float32  scalar        0.5

outputs
  y  bfloat16  [3, 4]  24 B

together 84 B
"""
TRACE_PAGE = """\
trace of scale_mine
  status         PASSED
  latency        500 µs
  reference      1.00 ms
  speedup        2.00x
  worst abs/rel  2.0e-04/1.0e-03
  hardware       A machine
  libraries      torch 2.0
  judged         2026-01-01T00:00:00
"""


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("target", ["scale_n4", "set/definitions/scale/scale_n4.json"])
def test_a_definition(target: str, dataset: Dataset, fib: Fib) -> None:
    status, lines = fib("show", target, "--fib-traceset=set")
    assert status == 0
    assert "\n".join(lines) == DEFINITION_PAGE


@pytest.mark.parametrize(
    "target",
    [
        "0123abcd",
        "0123abcd-0000-4000-8000-000000000000",
        "set/workloads/scale/scale_n4.jsonl",
        "set/workloads/scale/scale_n4.jsonl:1",
    ],
)
def test_a_workload(target: str, dataset: Dataset, fib: Fib) -> None:
    status, lines = fib("show", target, "--fib-traceset=set")
    assert status == 0
    assert "\n".join(lines) == WORKLOAD_PAGE


def test_where_captured_tensors_are_is_said(dataset: Dataset, fib: Fib) -> None:
    dataset.blob.unlink()
    assert (
        "  missing: 'factors' in ./blob/a.safetensors"
        in fib("show", "set/workloads/scale/scale_n4.jsonl")[1][7]
    )
    dataset.put(dataset.blob, POINTER)
    assert "  git-LFS pointer: 'factors' in " in fib("show", dataset.workload_file)[1][7]
    dataset.workload["inputs"]["factors"]["path"] = "/a.safetensors"
    dataset.put(dataset.workload_file, dataset.line(dataset.workload))
    assert "  outside the dataset: 'factors' in " in fib("show", dataset.workload_file)[1][7]


def test_a_workload_whose_axes_do_not_fit_or_whose_definition_is_missing(dataset: Dataset, fib: Fib) -> None:
    dataset.put(dataset.workload_file, dataset.line(dataset.workload | {"axes": {}}))
    _, lines = fib("show", dataset.workload_file)
    assert any(
        line.startswith("  problem  the workload does not say how large axis 'rows'") for line in lines
    )
    dataset.definition_file.unlink()
    _, lines = fib("show", dataset.workload_file)
    assert lines[1] == "  definition  scale_n4 (not found)"
    assert "  factors  'factors' in ./blob/a.safetensors" in lines


def test_a_workload_file(dataset: Dataset, fib: Fib) -> None:
    large = dataset.workload | {"uuid": "large", "axes": {"rows": 3_000_000}}
    dataset.put(dataset.workload_file, dataset.line(dataset.workload) + "\n{]\n" + dataset.line(large))
    status, lines = fib("show", dataset.workload_file)
    assert status == 0
    assert lines[:5] == [
        "2 workloads in set/workloads/scale/scale_n4.jsonl",
        "",
        "scale_n4",
        "  line  uuid                                  axes              size  inputs",
        "     1  0123abcd-0000-4000-8000-000000000000  rows=3            84 B  1 captured",
    ]
    assert lines[5].split() == ["4", "large", "rows=3000000", "80.1", "MiB", "1", "captured"]
    assert lines[6].startswith("problem: set/workloads/scale/scale_n4.jsonl:3: is not JSON")
    assert fib("show", f"{dataset.workload_file}:4")[1][0] == "workload large"
    assert fib("show", f"{dataset.workload_file}:3")[0] == 1
    assert fib("show", f"{dataset.workload_file}:2") == (
        2,
        ["ERROR: set/workloads/scale/scale_n4.jsonl has no workload on line 2; correct the number"],
    )


@pytest.mark.parametrize("target", ["scale_mine", "set/solutions/scale/scale_mine.json"])
def test_a_solution(target: str, dataset: Dataset, fib: Fib) -> None:
    status, lines = fib("show", target, "--fib-traceset=set")
    assert status == 0
    pytest.LineMatcher(lines).fnmatch_lines(
        [
            "scale_mine",
            "  definition   scale_n4",
            "  author       me",
            "  file         *set/solutions/scale/scale_mine.json",
            "  entry point  main.py::run",
            "  style        returns its outputs",
            "  main.py  2 lines  79 B",
            "  def run(x, factors, bias):",
        ]
    )


def test_a_starter_kit_with_remarks(dataset: Dataset, fib: Fib) -> None:
    dataset.put(
        Path("kit/config.toml"),
        '[solution]\nname = "k"\ndefinition = "gone"\nauthor = "me"\n[build]\nlanguage = "Python"\n'
        'entry_point = "main.py::run"\n',
    )
    dataset.put(Path("kit/solution/python/main.py"), "def run(*words):\n\treturn words\n")
    status, lines = fib("show", "kit")
    assert status == 0
    assert lines[1] == "  definition   gone (not found)"
    assert "  remark  language 'Python' is read as 'python'" in lines
    assert "      return words" in lines


def test_one_trace(dataset: Dataset, fib: Fib) -> None:
    for target in (dataset.trace_file, f"{dataset.trace_file}:1"):
        status, lines = fib("show", target)
        assert status == 0
        page = "\n".join(lines)
        assert page.startswith(TRACE_PAGE)
        assert page.partition("\n\ninputs\n")[2] == WORKLOAD_PAGE.partition("\n\ninputs\n")[2]


def test_a_trace_file(dataset: Dataset, fib: Fib) -> None:
    failed = {**dataset.trace["evaluation"], "status": "RUNTIME_ERROR", "log": "Traceback:\n\x1b[31mno"}
    del failed["correctness"], failed["performance"]
    rows = [
        dataset.trace,
        dataset.trace
        | {"workload": dataset.workload | {"uuid": "b", "axes": {"rows": 7}}, "evaluation": failed},
        dataset.trace | {"solution": "other"},
    ]
    dataset.put(dataset.trace_file, "\n".join(map(json.dumps, rows)) + "\n[]\n")
    status, lines = fib("show", dataset.trace_file)
    assert status == 0
    assert lines[:6] == [
        "3 traces in set/traces/me/scale/scale_n4.jsonl",
        "",
        "scale_mine on scale_n4: 1/2 passed, speedup: arithmetic mean 2.00x, geometric mean 2.00x",
        "  workload              status         latency  reference  speedup    worst abs/rel",
        "  rows=3 0123abcd-000…  PASSED          500 µs    1.00 ms    2.00x  2.0e-04/1.0e-03",
        "  rows=7 b              RUNTIME_ERROR        –          –        –                –",
    ]
    assert "other on scale_n4: 1/1 passed, speedup: arithmetic mean 2.00x, geometric mean 2.00x" in lines
    assert lines[-2].startswith("problem: ")
    _, lines = fib("show", f"{dataset.trace_file}:2")
    assert lines[lines.index("  log:") + 2] == "  \\x1b[31mno"


def test_a_dataset(dataset: Dataset, fib: Fib) -> None:
    dataset.put(dataset.root / "definitions/broken.json", "{")
    status, lines = fib("show", "set")
    assert status == 0
    assert lines[2:4] == ["           broken      cannot be read", "  scale    scale_n4                 1"]


@pytest.mark.parametrize(
    "target", ["nothing\x1b", "set/definitions/missing.json", "abc", "set/missing.jsonl:3"]
)
def test_what_is_not_there_is_wrong_usage(target: str, dataset: Dataset, fib: Fib) -> None:
    status, (line,) = fib("show", target, "--fib-traceset=set")
    assert status == 2
    assert line.startswith("ERROR: ")
    assert line.isprintable()


def test_what_cannot_be_read_is_one_sentence(dataset: Dataset, fib: Fib) -> None:
    path = dataset.put(Path("bad.json"), "{")
    for target in (path, "set/blob"):
        status, (line,) = fib("show", target)
        assert status == 1
        assert line.startswith("ERROR: ")


def test_sources_are_whole_where_there_is_no_terminal(
    dataset: Dataset, fib: Fib, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "# " + "x" * 300
    dataset.solution["sources"][0]["content"] = f"{long}\n{dataset.solution['sources'][0]['content']}"
    dataset.write()
    assert f"  {long}" not in fib("show", "scale_mine", "--fib-traceset=set")[1]
    monkeypatch.delenv("COLUMNS")
    assert f"  {long}" in fib("show", "scale_mine", "--fib-traceset=set")[1]


@pytest.mark.parametrize("width", [50, 70, 100])
def test_pages_are_no_wider_than_the_terminal(
    width: int, dataset: Dataset, fib: Fib, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    dataset.definition["axes"]["rows"]["description"] = (
        "how many rows there are, \x1b[31mwhich may be many. " * 5
    )
    dataset.definition["reference"] += "# " + "long " * 50
    dataset.write()
    for target in ("scale_n4", "scale_mine", "0123abcd"):
        _, lines = fib("show", target, "--fib-traceset=set")
        assert lines
        assert all(len(line) <= width and line.isprintable() for line in lines)


@given(
    st.integers(1, 5).flatmap(
        lambda columns: st.lists(
            st.lists(st.text(max_size=40), min_size=columns, max_size=columns), max_size=6
        )
    ),
    st.integers(60, 120),
)
def test_tables_fit_and_are_aligned(rows: list[list[str]], width: int) -> None:
    lines = table(rows, width)
    assert len(lines) == len(rows)
    assert all(len(line) <= width for line in lines)
    if sum(max(map(len, column)) for column in zip(*rows, strict=True)) + 2 * 5 <= width:
        assert all(cell.strip() in line for row, line in zip(rows, lines, strict=True) for cell in row)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=40), st.data())
def test_any_bytes_are_shown_or_refused(
    dataset: Dataset, capsys: pytest.CaptureFixture[str], raw: bytes, data: st.DataObject
) -> None:
    dataset.write()
    files = [dataset.definition_file, dataset.workload_file, dataset.solution_file, dataset.trace_file]
    path = data.draw(st.sampled_from(files))
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, len(good)))
    path.write_bytes(good[:start] + raw + good[stop:])
    for target in (str(path), f"{path}:1", "scale_mine"):
        status = main(["show", target, "--fib-traceset=set"])
        out, err = capsys.readouterr()
        assert bool(err) == (status != 0)
        assert all(line.isprintable() for line in (out + err).splitlines())
