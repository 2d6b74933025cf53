"""A dataset on disk, read lazily: one definition asked for is one definition parsed."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from pytest_fib.data import files
from pytest_fib.data.definition import Definition
from pytest_fib.data.files import naming, shown
from pytest_fib.data.readers import read_definition
from pytest_fib.data.text import escape, slug
from pytest_fib.errors import DataError, NoTensors, NotJudgeable

_ROOMS = ("definitions", "workloads", "solutions", "traces", "blob")
_LFS_HEADER = b"version https://git-lfs.github.com/spec/"
_LFS_LIMIT = 1024


class Traceset:
    """A folder with ``definitions/``, ``workloads/`` and perhaps ``blob/``, ``solutions/`` and ``traces/``.

    Names are looked up in listings and never made into paths. Nothing outside the folder is read, symbolic
    links or not, with two exceptions: those five folders may themselves be links, and in a snapshot of a
    Hugging Face cache the files are links into the cache's own store.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self._found: dict[str, tuple[Definition, Path]] = {}

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
        return self._lookup(name)[0]

    def definition_path(self, name: str) -> Path:
        """Return the file of the definition of that name; raises as :meth:`definition`."""
        return self._lookup(name)[1]

    def definition_files(self) -> list[Path]:
        """Return the definition files, sorted."""
        return sorted(path for paths in self._definition_index.values() for path in paths)

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
                f"{shown(self.root)} has two workload files for '{escape(name, 80)}', "
                f"{shown(found[0])} and {shown(found[1])}; remove one"
            )
        return found[0] if found else None

    def workload_files(self) -> list[Path]:
        """Return the workload files, sorted."""
        return sorted(path for paths in self._workload_index.values() for path in paths)

    def solution_files(self) -> list[Path]:
        """Return the JSON files below ``solutions/``, sorted."""
        return self._listed("solutions", (".json",))

    def trace_files(self) -> list[Path]:
        """Return the trace files, sorted."""
        return self._listed("traces", (".jsonl", ".json"))

    def resolve_blob(self, path_text: str) -> Path:
        """Return the real path of the file that a workload's ``path`` names, relative to the dataset's root.

        Raises
        ------
        DataError
            The path is absolute or leaves the dataset, by name or by symbolic link.
        NotJudgeable
            The file is missing or only a git-LFS pointer.
        """
        relative = posixpath.normpath(path_text)
        if "\0" in path_text or relative.startswith("/") or relative.split("/")[0] == "..":
            raise DataError(
                f"tensor file '{escape(path_text)}' lies outside the dataset {shown(self.root)}; "
                "write a path relative to it"
            )
        for candidate in self._blob_candidates(relative):
            if os.path.lexists(candidate):
                return self._checked_blob(candidate, path_text)
        remedy = "fetch the dataset's blobs or pass --fib-synthesize-missing"
        raise NoTensors(
            f"tensor file '{escape(path_text)}' is not in {shown(self.root)}; {remedy}",
            together=f"captured tensors are not in {shown(self.root)}; {remedy}",
        )

    @cached_property
    def _definition_index(self) -> dict[str, list[Path]]:
        return self._index("definitions", (".json",))

    @cached_property
    def _workload_index(self) -> dict[str, list[Path]]:
        return self._index("workloads", (".jsonl", ".json"))

    @cached_property
    def _bases(self) -> list[Path]:
        """The folders in which the files of this dataset may really lie."""
        bases = [self.root.resolve()]
        bases += [(self.root / room).resolve() for room in _ROOMS if (self.root / room).is_symlink()]
        if self.root.parent.name == "snapshots":
            bases.append((self.root.parent.parent / "blobs").resolve())
        return bases

    def _index(self, room: str, suffixes: tuple[str, ...]) -> dict[str, list[Path]]:
        index: dict[str, list[Path]] = {}
        for path in self._listed(room, suffixes):
            index.setdefault(path.stem, []).append(path)
        return index

    def _listed(self, room: str, suffixes: tuple[str, ...]) -> list[Path]:
        return sorted(path for path in self._files(self.root / room, set()) if path.suffix in suffixes)

    def _files(self, folder: Path, visited: set[Path]) -> Iterator[Path]:
        """Walk a folder, following links that stay inside, visiting no folder twice."""
        real = self._real(folder)
        if real is None or real in visited:
            return
        visited.add(real)
        try:
            entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
        except OSError:
            return
        for entry in entries:
            path = Path(entry.path)
            if os.path.isdir(path):
                yield from self._files(path, visited)
            elif not entry.is_symlink() or self._real(path) is not None:
                yield path

    def _real(self, path: Path) -> Path | None:
        """Return the path with links resolved, or None if it is outside the dataset."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):
            return None
        return real if any(real.is_relative_to(base) for base in self._bases) else None

    def _lookup(self, name: str) -> tuple[Definition, Path]:
        if name not in self._found:
            self._found[name] = self._search(name)
        return self._found[name]

    def _search(self, name: str) -> tuple[Definition, Path]:
        named = [(read_definition(path), path) for path in self._definition_index.get(name, [])]
        found = [pair for pair in named if pair[0].name == name]
        if not found:
            found = [pair for pair in self._everything if pair[0].name == name]
        if not found:
            raise DataError(
                f"{shown(self.root)} has no definition '{escape(name, 120)}'{self._unreadable}; "
                "add it or name another dataset with --fib-traceset"
            )
        if len(found) > 1:
            raise DataError(
                f"definition '{escape(name, 120)}' is in {shown(found[0][1])} and in {shown(found[1][1])}; "
                "remove one"
            )
        return found[0]

    @cached_property
    def _everything(self) -> list[tuple[Definition, Path]]:
        attempts = [(_definition_or_none(path), path) for path in self.definition_files()]
        return [(definition, path) for definition, path in attempts if definition is not None]

    @property
    def _unreadable(self) -> str:
        count = len(self.definition_files()) - len(self._everything)
        return f" ({count} of its definition files cannot be read)" if count else ""

    def _blob_candidates(self, relative: str) -> Iterator[Path]:
        yield self.root / relative
        parts = relative.split("/")
        if "blob" in parts[1:]:
            yield self.root.joinpath(*parts[parts.index("blob", 1) :])

    def _checked_blob(self, path: Path, path_text: str) -> Path:
        where = f"tensor file '{escape(path_text)}' in {shown(self.root)}"
        real = self._real(path)
        if real is None:
            raise DataError(f"{where} is a link that leads out of the dataset; put the file itself there")
        if not real.is_file():
            raise NotJudgeable(f"{where} is not a file; fetch it again")
        with naming(path):
            is_pointer = real.stat().st_size <= _LFS_LIMIT and files.read_bytes(real).startswith(_LFS_HEADER)
        if is_pointer:
            remedy = "run 'git lfs pull' there or pass --fib-synthesize-missing"
            raise NoTensors(
                f"{where} is only a git-LFS pointer; {remedy}",
                together=f"captured tensors in {shown(self.root)} are only git-LFS pointers; {remedy}",
            )
        return real


def _definition_or_none(path: Path) -> Definition | None:
    try:
        return read_definition(path)
    except DataError:
        return None
