from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data import readers
from pytest_fib.data.traceset import Traceset
from pytest_fib.errors import DataError, NotJudgeable

Json = dict[str, Any]
Write = Callable[..., Path]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n" % 0


@pytest.fixture
def root(write: Write, definition_json: Json, workload_json: Json, tmp_path: Path) -> Path:
    write("set/definitions/scale/scale_rows_n64.json", definition_json)
    write("set/definitions/scale/renamed.json", definition_json | {"name": "another"})
    write("set/definitions/scale/broken.json", "{")
    write("set/workloads/scale/scale_rows_n64.jsonl", workload_json)
    write("set/blob/x.safetensors", b"tensor")
    return tmp_path / "set"


def test_listings(root: Path) -> None:
    traceset = Traceset(root)
    assert traceset.name == "set"
    assert [path.name for path in traceset.definition_files()] == [
        "broken.json",
        "renamed.json",
        "scale_rows_n64.json",
    ]
    assert traceset.workload_files() == [root / "workloads" / "scale" / "scale_rows_n64.jsonl"]
    assert traceset.workload_file("scale_rows_n64") == traceset.workload_files()[0]
    assert traceset.workload_file("another") is None


def test_one_definition_asked_for_is_one_file_parsed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    original = readers._json

    def counting(path: Path) -> Any:
        parsed.append(path.name)
        return original(path)

    monkeypatch.setattr(readers, "_json", counting)
    traceset = Traceset(root)
    assert traceset.definition("scale_rows_n64").name == "scale_rows_n64"
    assert traceset.definition("scale_rows_n64") is traceset.definition("scale_rows_n64")
    assert parsed == ["scale_rows_n64.json"]


def test_a_definition_in_a_file_of_another_name_is_found(root: Path) -> None:
    traceset = Traceset(root)
    assert traceset.definition("another").name == "another"
    assert traceset.definition_path("another").name == "renamed.json"


def test_a_file_of_that_name_with_another_definition_is_not_it(root: Path) -> None:
    with pytest.raises(DataError, match="has no definition 'renamed'"):
        Traceset(root).definition("renamed")


def test_a_missing_definition_names_what_could_not_be_read(root: Path) -> None:
    with pytest.raises(
        DataError, match=r"has no definition 'x' \(1 of its definition files cannot be read\)"
    ):
        Traceset(root).definition("x")


def test_a_broken_file_is_an_error_of_that_definition_alone(root: Path) -> None:
    traceset = Traceset(root)
    with pytest.raises(DataError, match=r"broken\.json: is not JSON"):
        traceset.definition("broken")
    assert traceset.definition("scale_rows_n64")


def test_two_definitions_of_one_name_are_an_error_of_that_name_alone(
    root: Path, write: Write, definition_json: Json
) -> None:
    write("set/definitions/other/scale_rows_n64.json", definition_json)
    write("set/workloads/other/scale_rows_n64.jsonl", "")
    traceset = Traceset(root)
    with pytest.raises(DataError, match=r"'scale_rows_n64' is in .* and in .*; remove one"):
        traceset.definition("scale_rows_n64")
    with pytest.raises(DataError, match="has two workload files for 'scale_rows_n64'"):
        traceset.workload_file("scale_rows_n64")
    assert traceset.definition("another")


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "scale/scale_rows_n64", "..", "", "a\0b", "x" * 5000, "\x1b[2J"],
)
def test_a_name_is_never_a_path(name: str, root: Path, write: Write, definition_json: Json) -> None:
    write("etc/passwd.json", definition_json | {"name": name})
    traceset = Traceset(root)
    assert traceset.workload_file(name) is None
    with pytest.raises(DataError) as caught:
        traceset.definition(name)
    assert "has no definition" in str(caught.value)
    assert str(caught.value).isprintable()


def test_an_empty_or_missing_folder_has_nothing(tmp_path: Path) -> None:
    traceset = Traceset(tmp_path / "nothing")
    assert traceset.definition_files() == traceset.workload_files() == []
    with pytest.raises(DataError, match="has no definition"):
        traceset.definition("x")


@pytest.mark.parametrize(
    "text",
    [
        "blob/x.safetensors",
        "./blob/x.safetensors",
        "blob//y/../x.safetensors",
        "data/flashinfer-trace/blob/x.safetensors",
    ],
)
def test_blobs_are_found_relative_to_the_root(text: str, root: Path) -> None:
    assert Traceset(root).resolve_blob(text) == root / "blob" / "x.safetensors"


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        "//etc/passwd",
        "../secret",
        "blob/../../secret",
        "..",
        "./../set/../secret",
        "blob/x\0.safetensors",
    ],
)
def test_paths_out_of_the_root_are_refused(text: str, root: Path, write: Write) -> None:
    write("secret", "password")
    with pytest.raises(DataError, match="lies outside the dataset") as caught:
        Traceset(root).resolve_blob(text)
    assert str(caught.value).isprintable()


@given(st.lists(st.sampled_from(["..", ".", "", "blob", "secret", "set", "x"]), max_size=8))
def test_no_path_resolves_to_anything_outside(parts: list[str]) -> None:
    root = Path("/nowhere/set")
    with pytest.raises((DataError, NotJudgeable)):
        Traceset(root).resolve_blob("/".join(parts))


def test_links_out_of_the_root_are_refused(root: Path, write: Write) -> None:
    secret = write("secret.safetensors", b"password")
    (root / "blob" / "link.safetensors").symlink_to(secret)
    (root / "blob" / "folder").symlink_to(secret.parent)
    traceset = Traceset(root)
    for text in ("blob/link.safetensors", "blob/folder/secret.safetensors"):
        with pytest.raises(DataError, match="is a link that leads out of the dataset"):
            traceset.resolve_blob(text)


def test_links_inside_the_root_are_followed(root: Path) -> None:
    (root / "blob" / "link.safetensors").symlink_to(root / "blob" / "x.safetensors")
    assert Traceset(root).resolve_blob("blob/link.safetensors") == root / "blob" / "x.safetensors"


def test_linked_rooms_are_followed(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for room in ("definitions", "workloads", "blob"):
        (linked / room).symlink_to(root / room)
    traceset = Traceset(linked)
    assert traceset.definition("scale_rows_n64")
    assert traceset.workload_file("scale_rows_n64") == linked / "workloads" / "scale" / "scale_rows_n64.jsonl"
    assert traceset.resolve_blob("blob/x.safetensors") == root / "blob" / "x.safetensors"


def test_a_linked_root_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(root)
    assert Traceset(tmp_path / "alias").resolve_blob("blob/x.safetensors") == root / "blob" / "x.safetensors"


def test_a_snapshot_in_a_hub_cache_is_followed(tmp_path: Path, definition_json: Json) -> None:
    repo = tmp_path / "datasets--org--name"
    snapshot, store = repo / "snapshots" / "abc123", repo / "blobs"
    store.mkdir(parents=True)
    for name, content in (("d1", json.dumps(definition_json).encode()), ("b1", b"tensor")):
        (store / name).write_bytes(content)
    (snapshot / "definitions" / "scale").mkdir(parents=True)
    (snapshot / "blob").mkdir()
    (snapshot / "definitions" / "scale" / "scale_rows_n64.json").symlink_to("../../../../blobs/d1")
    (snapshot / "blob" / "x.safetensors").symlink_to("../../../blobs/b1")
    traceset = Traceset(snapshot)
    assert traceset.definition("scale_rows_n64")
    assert traceset.resolve_blob("blob/x.safetensors") == store / "b1"


def test_links_in_listings_are_followed_only_inside(root: Path, write: Write, definition_json: Json) -> None:
    outside = write("outside/definitions/secret.json", definition_json | {"name": "secret"})
    rooms = root / "definitions"
    (rooms / "secret.json").symlink_to(outside)
    (rooms / "more").symlink_to(outside.parent)
    (rooms / "circle").symlink_to(rooms)
    (rooms / "loop").symlink_to(rooms / "loop")
    assert len(Traceset(root).definition_files()) == 3


@pytest.mark.parametrize(
    "text", ["blob/missing.safetensors", "missing", "blob/" + "x" * 5000, "blob/x.safetensors/y", "ünï\u202e"]
)
def test_a_missing_blob_is_a_skip_that_names_it(text: str, root: Path) -> None:
    with pytest.raises(NotJudgeable, match=r"is not in .*; fetch the dataset's blobs") as caught:
        Traceset(root).resolve_blob(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_a_git_lfs_pointer_is_a_skip_that_says_what_to_do(root: Path, write: Write) -> None:
    write("set/blob/pointer.safetensors", POINTER)
    with pytest.raises(
        NotJudgeable, match=r"'blob/pointer\.safetensors' in .* git-LFS pointer; run 'git lfs pull'"
    ):
        Traceset(root).resolve_blob("blob/pointer.safetensors")


def test_a_folder_is_not_a_blob(root: Path) -> None:
    with pytest.raises(NotJudgeable, match="is not a file"):
        Traceset(root).resolve_blob("blob")


def test_a_dangling_link_is_a_skip(root: Path) -> None:
    (root / "blob" / "gone.safetensors").symlink_to(root / "blob" / "nothing")
    with pytest.raises(NotJudgeable, match="is not a file; fetch it again"):
        Traceset(root).resolve_blob("blob/gone.safetensors")


def test_solutions_and_traces_are_listed(tmp_path: Path) -> None:
    for name in ("solutions/a/b.json", "solutions/a.jsonl", "traces/me/op/d.jsonl", "traces/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}\n")
    traceset = Traceset(tmp_path)
    assert traceset.solution_files() == [tmp_path / "solutions/a/b.json"]
    assert traceset.trace_files() == [tmp_path / "traces/me/op/d.jsonl"]
