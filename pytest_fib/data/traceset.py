"""A dataset on disk, read lazily: one definition asked for is one definition parsed."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pytest_fib.data import files
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import shown
from pytest_fib.data.readers import read_definition
from pytest_fib.data.text import escape, slug
from pytest_fib.errors import DataError, NotJudgeable

_ROOMS = ("definitions", "workloads", "solutions", "traces", "blob")
_LFS_HEADER = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024


class Traceset:
    """A folder with ``definitions/``, ``workloads/`` and perhaps ``blob/``, ``solutions/`` and ``traces/``.

    Names are looked up in listings and never made into paths.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self._definitions: dict[str, Definition] = {}

    @property
    def name(self) -> str:
        """The folder's name, safe in ids and file names."""
        return slug(self.root.name)

    def definition(self, name: str) -> Definition:
        """Return the definition of that name: by file name if possible, else by looking into every file.

        Raises
        ------
        DataError
            There is none, it cannot be read, or two files define it.
        """
        if name not in self._definitions:
            self._definitions[name] = self._read_definition(name)
        return self._definitions[name]

    def definition_files(self) -> list[Path]:
        """Return the definition files, sorted."""
        return [path for paths in self._definition_index.values() for path in paths]

    def workload_file(self, name: str) -> Path | None:
        """Return the workload file of the definition of that name, or None if there is none.

        Raises
        ------
        DataError
            Two files have that name.
        """
        found = self._workload_index.get(name, [])
        if len(found) > 1:
            raise DataError(
                f"{shown(self.root)} has two workload files for '{escape(name, 80)}': "
                f"{shown(found[0])} and {shown(found[1])}; remove one"
            )
        return found[0] if found else None

    def workload_files(self) -> list[Path]:
        """Return the workload files, sorted."""
        return [path for paths in self._workload_index.values() for path in paths]

    def resolve_blob(self, path_text: str) -> Path:
        """Return the file that a workload's ``path`` names, relative to the dataset's root.

        Raises
        ------
        DataError
            The path is absolute or leaves the dataset, by name or by symbolic link.
        NotJudgeable
            The file is missing or only a git-LFS pointer.
        """
        relative = posixpath.normpath(path_text)
        if "\0" in path_text or posixpath.isabs(path_text) or relative.split("/")[0] == "..":
            raise DataError(
                f"tensor file '{escape(path_text)}' lies outside the dataset {shown(self.root)}; "
                "write a path relative to it"
            )
        for candidate in self._blob_candidates(relative):
            if os.path.lexists(candidate):
                return self._checked_blob(candidate, path_text)
        raise NotJudgeable(
            f"tensor file '{escape(path_text)}' is not in {shown(self.root)}; "
            "fetch the dataset's blobs or pass --fib-synthesize-missing"
        )

    @cached_property
    def _definition_index(self) -> dict[str, list[Path]]:
        return self._index("definitions", (".json",))

    @cached_property
    def _workload_index(self) -> dict[str, list[Path]]:
        return self._index("workloads", (".jsonl", ".json"))

    @cached_property
    def _bases(self) -> list[Path]:
        """Where files of this dataset may really lie: its root, the targets of linked rooms, a hub cache's store."""
        bases = [self.root.resolve()]
        bases += [(self.root / room).resolve() for room in _ROOMS if (self.root / room).is_symlink()]
        if self.root.parent.name == "snapshots":
            bases.append((self.root.parent.parent / "blobs").resolve())
        return bases

    def _index(self, room: str, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = {}
        for path in sorted(self._files(self.root / room)):
            if path.suffix in suffixes and self._is_inside(path):
                index.setdefault(path.stem, []).append(path)
        return index

    def _files(self, folder: Path) -> Iterator[Path]:
        for parent, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (Path(parent) / name for name in names if not name.startswith("."))

    def _is_inside(self, path: Path) -> bool:
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError):
            return False
        return any(resolved.is_relative_to(base) for base in self._bases)

    def _read_definition(self, name: str) -> Definition:
        named = [read_definition(path) for path in self._definition_index.get(name, [])]
        found = [definition for definition in named if definition.name == name]
        if not found:
            found = [definition for definition in self._all_definitions if definition.name == name]
        if not found:
            raise DataError(
                f"{shown(self.root)} has no definition '{escape(name, 120)}'; "
                "name another dataset with --fib-traceset or add the definition"
            )
        if len(found) > 1:
            raise DataError(
                f"{shown(self.root)} defines '{escape(name, 120)}' in {len(found)} files; keep one"
            )
        return found[0]

    @cached_property
    def _all_definitions(self) -> list[Definition]:
        definitions = []
        for path in self.definition_files():
            try:
                definitions.append(read_definition(path))
            except DataError:
                continue
        return definitions

    def _blob_candidates(self, relative: str) -> Iterator[Path]:
        yield self.root / relative
        parts = relative.split("/")
        if "blob" in parts[1:]:
            yield self.root.joinpath(*parts[parts.index("blob", 1) :])

    def _checked_blob(self, path: Path, path_text: str) -> Path:
        if not self._is_inside(path):
            raise DataError(
                f"tensor file '{escape(path_text)}' leads out of the dataset {shown(self.root)} by a symbolic link; "
                "put the file itself there"
            )
        if not path.is_file():
            raise NotJudgeable(
                f"tensor file '{escape(path_text)}' in {shown(self.root)} is not a file; fetch it again"
            )
        if path.stat().st_size <= _LFS_LIMIT and files.read_bytes(path, _LFS_LIMIT).startswith(_LFS_HEADER):
            raise NotJudgeable(
                f"tensor file '{escape(path_text)}' in {shown(self.root)} is a git-LFS pointer; run 'git lfs pull' there"
            )
        return path
