from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_fib.data.readers import read_solution
from pytest_fib.errors import DataError

Write = Callable[..., Path]
CONFIG = """
[solution]
name = "my-kernel-v1"
definition = "fused_moe"
author = "someone"

[build]
language = "{language}"
entry_point = "{entry}"
"""
BUILD = "[solution]\nname = 'a'\ndefinition = 'd'\n[build]\nlanguage = 'triton'\n"


@pytest.fixture
def kit(write: Write, tmp_path: Path) -> Path:
    write("kit/config.toml", CONFIG.format(language="triton", entry="kernel.py::run"))
    write("kit/solution/triton/kernel.py", "from .lib.helper import help_out\n\ndef run(x): ...\n")
    write("kit/solution/triton/lib/__init__.py", "")
    write("kit/solution/triton/lib/helper.py", "def help_out(): ...\n")
    write("kit/solution/python/other.py", "def run(x): ...\n")
    return tmp_path / "kit"


def test_a_folder_is_a_solution(kit: Path) -> None:
    loaded = read_solution(kit)
    assert loaded.path == kit
    assert loaded.notes == ()
    solution = loaded.solution
    assert (solution.name, solution.definition, solution.author) == ("my-kernel-v1", "fused_moe", "someone")
    assert (solution.spec.language, solution.spec.target_hardware) == ("triton", ("cuda",))
    assert solution.spec.destination_passing_style is None
    assert [source.path for source in solution.sources] == ["kernel.py", "lib/__init__.py", "lib/helper.py"]


def test_the_same_folder_elsewhere_is_the_same_solution(kit: Path) -> None:
    before = read_solution(kit).solution
    assert read_solution(kit.rename(kit.parent / "moved")).solution.content_hash == before.content_hash


def test_build_options_are_read(kit: Path) -> None:
    config = kit / "config.toml"
    config.write_text(config.read_text() + 'destination_passing_style = false\nbinding = "torch"\n')
    spec = read_solution(kit).solution.spec
    assert spec.destination_passing_style is False
    assert spec.binding == "torch"


def test_what_else_lies_there_is_not_read(kit: Path) -> None:
    source = kit / "solution" / "triton"
    for name in ("conftest.py", "pytest.ini", "README.md"):
        (kit / name).write_bytes(b"\xff\xff")
    (source / ".hidden.py").write_bytes(b"\xff\xff")
    (source / ".venv").mkdir()
    (source / ".venv" / "big.py").write_bytes(b"\xff\xff")
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "kernel.pyc").write_bytes(b"\xff\xff")
    (source / "notes.md").write_bytes(b"\xff\xff")
    loaded = read_solution(kit)
    assert len(loaded.solution.sources) == 3
    assert loaded.notes == ("'notes.md' is not a source file and is left out",)


def test_the_default_entry_point_of_the_kit(write: Write, tmp_path: Path) -> None:
    write("kit/config.toml", CONFIG.format(language="cuda", entry="kernel"))
    write("kit/solution/cuda/kernel.cu", "PYBIND11_MODULE(x, m) {}\n")
    loaded = read_solution(tmp_path / "kit")
    assert loaded.solution.spec.entry_point == "kernel.cu::kernel"
    assert loaded.solution.spec.binding == "torch"
    assert len(loaded.notes) == 2


def test_capitals_in_the_language(write: Write, tmp_path: Path) -> None:
    write("kit/config.toml", CONFIG.format(language="Python", entry="m.py::run"))
    write("kit/solution/python/m.py", "def run(): ...\n")
    assert read_solution(tmp_path / "kit").solution.spec.language == "python"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "the folder has no config.toml, so it is no starter kit; name each JSON file, or the folder"),
        ("[solution\n", "config.toml: is not TOML"),
        (b"\xff", "config.toml: is not UTF-8 text"),
        ("x = " + "[" * 10_000, "config.toml: is not TOML"),
        ("[solution]\nname='a'\n", "should have the tables [solution] and [build]"),
        ("solution = 1\nbuild = 2\n", "should have the tables [solution] and [build]"),
        (CONFIG.format(language="../../..", entry="k.py::run"), "there is no such folder in solution/"),
        (CONFIG.format(language="cuda", entry="k.py::run"), "there is no such folder in solution/"),
        ("[solution]\n[build]\nlanguage = 3\n", "should name a language, found 3"),
        ("[solution]\n[build]\n", "field 'build.language' is missing; add it"),
        (BUILD, "config.toml: field 'build.entry_point' is missing; add it"),
        (
            BUILD + "entry_point = 3\n",
            "config.toml: field 'build.entry_point' should read 'file.py::function'",
        ),
        (
            BUILD + "entry_point = 'kernel.py::run'\ndestination_passing_style = 'no'\n",
            "field 'build.destination_passing_style' should be true or false",
        ),
        (
            "[solution]\n[build]\nlanguage = 'python'\nentry_point='other.py::run'\n",
            "field 'name' is missing",
        ),
        (CONFIG.format(language="triton", entry="kernel"), "there are 3 sources; write 'file.py::function'"),
    ],
)
def test_a_folder_that_is_no_starter_kit_is_refused(
    config: str | bytes | None, words: str, kit: Path
) -> None:
    (kit / "config.toml").unlink()
    if config is not None:
        (kit / "config.toml").write_bytes(config.encode() if isinstance(config, str) else config)
    with pytest.raises(DataError) as caught:
        read_solution(kit)
    assert words in str(caught.value)
    assert str(caught.value).startswith(str(kit))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("what", ["file", "folder", "solution", "dangling"])
def test_links_out_of_the_folder_give_nothing_away(what: str, kit: Path, write: Write) -> None:
    secret = write("secret/triton/secret.py", "PASSWORD = 1\n")
    source = kit / "solution" / "triton"
    if what == "file":
        (source / "secret.py").symlink_to(secret)
    elif what == "dangling":
        (source / "secret.py").symlink_to(kit / "nothing")
    elif what == "folder":
        (source / "more").symlink_to(secret.parent)
    else:
        (kit / "solution").rename(kit / "unused")
        (kit / "solution").symlink_to(secret.parent.parent)
    if what == "folder":
        assert len(read_solution(kit).solution.sources) == 3
        return
    with pytest.raises(DataError, match="is a link out of the folder"):
        read_solution(kit)


def test_an_empty_language_folder_is_refused(kit: Path) -> None:
    for file in sorted((kit / "solution" / "triton").rglob("*.py")):
        file.unlink()
    with pytest.raises(DataError, match="'sources' should list at least one file"):
        read_solution(kit)
