from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from pytest_fib.errors import SettingsError
from pytest_fib.report.document import write_document
from pytest_fib.report.files import check_target


def test_a_reader_never_sees_half_a_document(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_document(path, {"n": 0, "pad": ""})
    done = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(json.loads(path.read_text())["n"])

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(20):
        write_document(path, {"n": n, "pad": "x" * 200_000})
    done.set()
    reader.join()
    assert seen <= set(range(20))
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_a_failed_write_keeps_the_old_document(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_document(path, {"n": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_document(path, {"n": float("nan")})
    assert json.loads(path.read_text()) == {"n": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.json"]


def test_the_document_has_the_users_ordinary_permissions(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        write_document(tmp_path / "r.json", {})
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "r.json").stat().st_mode) == 0o644


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()))
    reader.start()
    write_document(pipe, {"n": 1})
    reader.join()
    assert json.loads(received[0]) == {"n": 1}
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize(("name", "words"), [("", "is a folder"), ("file/r.json", "cannot be made")])
def test_a_target_that_cannot_be_written_is_named(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=words):
        check_target(tmp_path / name)


def test_the_folder_of_a_report_is_made(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b" / "r.json")
    assert (tmp_path / "a" / "b").is_dir()
