"""A proposed implementation of a definition: how to build it, and its sources."""

from __future__ import annotations

import hashlib
import json
import posixpath
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, field_validator, model_validator

from pytest_fib.data.definition import Name
from pytest_fib.data.text import escape

LANGUAGES = frozenset({"python", "triton", "cpp", "cuda", "tilelang"})
"""The languages of the official schema. Others load, so that a judge can skip them by name."""

_PATH_LIMIT = 240
SOURCES_LIMIT = 1000
"""A solution has at most so many source files."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class SourceFile(_Frozen):
    """One file of a solution; ``path`` is relative to the solution's own folder and stays inside it."""

    path: Annotated[str, Field(min_length=1)]
    content: Annotated[str, Field(min_length=1)]

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        problem = path_problem(value)
        if problem:
            raise ValueError(problem)
        return value


class BuildSpec(_Frozen):
    """How a solution is built and called.

    ``destination_passing_style`` is None where the file does not say: infer it from the signature.
    ``binding`` is None where neither the file nor its sources say: that means ``tvm-ffi`` for C++ and CUDA.
    """

    language: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.+-]{0,63}$")]
    target_hardware: Annotated[tuple[str, ...], Field(min_length=1)]
    entry_point: Name
    dependencies: tuple[Name, ...] = ()
    destination_passing_style: StrictBool | None = None
    binding: Literal["tvm-ffi", "torch"] | None = None

    @field_validator("entry_point")
    @classmethod
    def _names_file_and_symbol(cls, value: str) -> str:
        file, separator, symbol = value.partition("::")
        if not separator or not file or not all(part.isidentifier() for part in symbol.split(".")):
            raise ValueError(f"entry_point '{escape(value, 80)}' should read 'file.py::function'")
        return value


class Solution(_Frozen):
    """A complete implementation: all sources and how to build them."""

    name: Name
    definition: Name
    author: Name
    spec: BuildSpec
    sources: Annotated[tuple[SourceFile, ...], Field(min_length=1, max_length=SOURCES_LIMIT)]
    description: str | None = None

    @model_validator(mode="after")
    def _paths_do_not_collide(self) -> Solution:
        problem = collision([source.path for source in self.sources])
        if problem:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _entry_file_is_there(self) -> Solution:
        if all(source.path != self.entry_file for source in self.sources):
            raise ValueError(
                f"entry_point names '{escape(self.entry_file, 80)}', which is not among the sources"
            )
        return self

    @property
    def entry_file(self) -> str:
        """The path of the source that holds the entry point."""
        return self.spec.entry_point.partition("::")[0]

    @property
    def entry_symbol(self) -> str:
        """The function to be called."""
        return self.spec.entry_point.partition("::")[2]

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over everything that the solution says, in hexadecimal: the key of builds and results."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @cached_property
    def official_hash(self) -> str:
        """The hash that FlashInfer-Bench computes. It has collisions: record it, never use it as a key."""
        digest = hashlib.sha1(usedforsecurity=False)
        spec = self.spec
        for text in (self.name, self.definition, spec.language, spec.entry_point, spec.binding or ""):
            digest.update(text.encode())
        for text in spec.dependencies:
            digest.update(text.encode())
        for source in self.sources:
            digest.update(source.path.encode())
            digest.update(source.content.encode())
        return digest.hexdigest()

    def to_json(self, indent: int | None = 2) -> str:
        """Return the solution as JSON text in the official schema; an unsaid calling style stays unsaid."""
        return self.model_dump_json(indent=indent, exclude_none=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Solution:
        """Return a changed copy, whose hashes are its own (unlike any copy, an update is not validated)."""
        copy = super().model_copy(update=update, deep=deep)
        for cached in ("content_hash", "official_hash"):
            copy.__dict__.pop(cached, None)
        return copy


@dataclass(frozen=True, slots=True)
class LoadedSolution:
    """A solution, where it was found, and a sentence for each thing that the reader put right or ignored."""

    solution: Solution
    path: Path
    notes: tuple[str, ...] = ()


def path_problem(path: str) -> str | None:
    """Return what is wrong with a source path, or None if it stays inside a folder on every file system."""
    fault = _path_fault(path)
    return f"source path '{escape(path, 80)}' {fault}" if fault else None


def _path_fault(path: str) -> str | None:
    if len(path.encode("utf-8", "surrogatepass")) > _PATH_LIMIT:
        return f"is longer than {_PATH_LIMIT} bytes; shorten it"
    if not path.isprintable():
        return "contains control or invisible characters; remove them"
    if "\\" in path or ":" in path:
        return "contains a backslash or a colon; write it with forward slashes"
    if path.startswith(("/", "~", "-")):
        return "should be relative to the solution's folder; write it so"
    if ".." in path.split("/"):
        return "leaves the solution's folder; remove '..'"
    if path.endswith("/") or posixpath.normpath(path) == ".":
        return "names a folder, not a file; add the file's name"
    return None


def collision(paths: Iterable[str]) -> str | None:
    """Return why these source paths cannot lie in one folder on every file system, or None if they can."""
    files: dict[str, str] = {}
    for path in paths:
        key = path_key(path)
        if key in files:
            return (
                f"sources '{escape(files[key], 80)}' and '{escape(path, 80)}' are the same file; rename one"
            )
        files[key] = path
    for key, path in files.items():
        parts = key.split("/")
        for depth in range(1, len(parts)):
            folder = files.get("/".join(parts[:depth]))
            if folder is not None:
                return f"source '{escape(folder, 80)}' is a folder of '{escape(path, 80)}'; rename it"
    return None


def path_key(path: str) -> str:
    """Return what two paths share exactly when some file system takes them for the same file."""
    return unicodedata.normalize("NFC", posixpath.normpath(path)).casefold()
