"""Solutions as folders: ``config.toml`` and the sources in ``solution/<language>/``.

Only these are read; whatever else lies in the folder (a ``conftest.py``, a ``pytest.ini``) is not looked at.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_fib.data import files, wild
from pytest_fib.data.files import naming
from pytest_fib.data.solution import SOURCES_LIMIT
from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

CONFIG_FILE = "config.toml"

SPEC_TABLE = "build"
"""The table of ``config.toml`` that holds what a JSON solution has in ``spec``."""

SOURCE_LIMIT = 16 << 20
"""A source file that is read from a folder may have so many bytes."""

_SUFFIXES = frozenset(
    {".py", ".cu", ".cuh", ".cpp", ".cc", ".cxx", ".c", ".h", ".hpp", ".hh", ".inl", ".inc", ".ptx"}
)


def read_kit(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of the Solution in a starter-kit folder, and remarks.

    Raises
    ------
    DataError
        The folder is not a starter kit, or something in it cannot be used.
    """
    config_file = folder / CONFIG_FILE
    if not os.path.lexists(config_file):
        raise DataError(
            "the folder has no config.toml, so it is no starter kit; name each JSON file, or "
            "the folder or a glob in the ini option fib_solutions",
            where=files.shown(folder),
        )
    with naming(config_file):
        solution, build = _tables(config_file)
        language_folder = _language_folder(folder, build.get("language"))
    notes: list[str] = []
    with naming(language_folder):
        sources = _sources(folder, language_folder, notes)
    with naming(config_file):
        spec = {"target_hardware": ["cuda"], **build}
        value = {**solution, "sources": sources, "spec": spec}
        fields, remarks = wild.solution_fields(value, sibling=None, spec_name=SPEC_TABLE)
    return fields, notes + remarks


def text_inside(folder: Path, file: Path) -> str | None:
    """Return the text of ``file`` if it exists and really lies in ``folder``, links followed; else None.

    Raises
    ------
    DataError
        It is there and cannot be read as text.
    """
    try:
        resolved = file.resolve(strict=True)
        if not resolved.is_relative_to(folder.resolve()):
            return None
    except (OSError, RuntimeError, ValueError):
        return None
    return files.read_text(resolved, SOURCE_LIMIT)


def _tables(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    text = files.read_text(path, SOURCE_LIMIT)
    try:
        config: dict[str, Any] = toml.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not TOML ({escape(str(error), 120)}); correct it") from None
    solution, build = config.get("solution"), config.get("build")
    if not isinstance(solution, dict) or not isinstance(build, dict):
        raise DataError("should have the tables [solution] and [build]; add them")
    return solution, build


def _language_folder(kit: Path, language: Any) -> Path:
    """Find ``solution/<language>`` in a listing: a name from a file is never made into a path."""
    if language is None:
        raise DataError("field 'build.language' is missing; add it")
    if not isinstance(language, str):
        raise DataError(f"'language' in [build] should name a language, found {show(language)}; correct it")
    wanted = {language.lower(), wild.canonical_language(language)}
    try:
        names = sorted(os.listdir(kit / "solution"))
    except OSError:
        names = []
    for name in names:
        if name.lower() in wanted and os.path.isdir(kit / "solution" / name):
            return kit / "solution" / name
    raise DataError(
        f"language is {show(language)} but there is no such folder in solution/; put the sources there"
    )


def _sources(kit: Path, folder: Path, notes: list[str]) -> list[dict[str, Any]]:
    sources: list[wild.Fields] = []
    for file in _listed(folder):
        name = file.relative_to(folder).as_posix()
        if file.suffix.lower() not in _SUFFIXES:
            notes.append(f"'{escape(name, 80)}' is not a source file and is left out")
            continue
        if len(sources) == SOURCES_LIMIT:
            raise DataError(f"there are more than {SOURCES_LIMIT} source files; remove what is not needed")
        with naming(Path(name)):
            content = text_inside(kit, file)
        if content is None:
            raise DataError(
                f"source '{escape(name, 80)}' is a link out of the folder; put the file itself there"
            )
        sources.append({"path": name, "content": content})
    return sources


def _listed(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__" and not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(names) if not name.startswith("."))
