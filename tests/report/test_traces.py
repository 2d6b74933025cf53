from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.readers import read_traces
from pytest_fib.report.traces import append_trace, trace_path

HOSTILE = [
    "../../x",
    "/etc",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "\x00",
    "\x1b[31m",
    "CON",
    ".hidden",
    "x" * 300,
    "<b>",
    "ü",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_plain_components(name: str) -> None:
    path = trace_path(name, name, name)
    assert not path.is_absolute()
    assert len(path.parts) == 4
    assert path.parts[0] == "traces"
    assert all(part and not part.startswith(".") and "\\" not in part for part in path.parts)


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_different_definitions_never_share_a_file(one: str, other: str) -> None:
    assert (trace_path("a", "o", one) == trace_path("a", "o", other)) == (one == other)


def test_lines_are_appended_and_readable_as_traces(tmp_path: Path, synthetic: ModuleType) -> None:
    append_trace(tmp_path, synthetic.record())
    append_trace(tmp_path, synthetic.record("TIMEOUT", log="too slow"))
    path = tmp_path / "traces" / "ada" / "rmsnorm" / "rmsnorm_h128.jsonl"
    statuses = [trace.evaluation.status.value for trace in read_traces(path)]
    assert statuses == ["PASSED", "TIMEOUT"]


def test_half_a_line_left_by_a_crash_spoils_only_itself(tmp_path: Path, synthetic: ModuleType) -> None:
    append_trace(tmp_path, synthetic.record())
    path = tmp_path / "traces" / "ada" / "rmsnorm" / "rmsnorm_h128.jsonl"
    with path.open("a") as file:
        file.write('{"half')
    append_trace(tmp_path, synthetic.record())
    lines = path.read_text().splitlines()
    assert lines[1] == '{"half'
    assert json.loads(lines[2]) == json.loads(lines[0])


def test_a_pass_without_timing_has_no_trace(tmp_path: Path, synthetic: ModuleType) -> None:
    append_trace(tmp_path, synthetic.record(timing=None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_planted_link_is_not_followed(tmp_path: Path, synthetic: ModuleType, depth: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    path = tmp_path / "root" / Path(*trace_path("ada", "rmsnorm", "rmsnorm_h128").parts[:depth])
    path.parent.mkdir(parents=True)
    path.symlink_to(outside / "file" if depth == 4 else outside)
    with pytest.raises(OSError):
        append_trace(tmp_path / "root", synthetic.record())
    assert [entry.name for entry in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == "precious"


def test_the_folder_that_the_user_names_may_be_a_link(tmp_path: Path, synthetic: ModuleType) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    append_trace(tmp_path / "link", synthetic.record())
    assert (tmp_path / "real" / "traces").is_dir()


def test_a_planted_pipe_does_not_hang_the_run(tmp_path: Path, synthetic: ModuleType) -> None:
    path = tmp_path.joinpath(*trace_path("ada", "rmsnorm", "rmsnorm_h128").parts)
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        append_trace(tmp_path, synthetic.record())


def test_no_descriptor_is_left_open(tmp_path: Path, synthetic: ModuleType) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        append_trace(tmp_path, synthetic.record())
    assert len(os.listdir("/proc/self/fd")) == before
