"""What is wrong or unusual, one line each: ``path:line: field: sentence``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_fib.commands._output import place
from pytest_fib.commands.validate.lines import line_of
from pytest_fib.data.files import shown
from pytest_fib.errors import DataError

_FIELD = re.compile(r"field '([^']*)':? (.*)", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """One problem, or one remark on what is tolerated; ``where`` is a file, perhaps with a line."""

    where: str
    field: str
    sentence: str
    is_remark: bool
    alike: int = 0  # further places with the same remark

    def __str__(self) -> str:
        kind = "warning" if self.is_remark else ""
        text = ": ".join(part for part in (self.where, kind, self.field, self.sentence) if part)
        return text + (f" ({self.alike} more like this)" if self.alike else "")


class Findings:
    """All findings of one run, in the order in which they came; equal remarks on one file are counted."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._remarks: dict[tuple[Path, str], int] = {}

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)

    def count(self, *, remarks: bool) -> int:
        """Return the number of problems or of remarks, those that are not listed one by one among them."""
        return sum(1 + found.alike for found in self._found if found.is_remark is remarks)

    def error(self, error: DataError, path: Path, line: int | None = None) -> None:
        """Add what a reader said about ``path``."""
        for sentence in error.sentences:
            if error.where in ("", shown(path)):
                self.problem(path, sentence, line)
            elif os.path.isfile(error.where):  # one of the files of a starter kit
                self.problem(Path(error.where), sentence)
            else:
                self._append(place(Path(error.where)), sentence, is_remark=False)

    def problem(self, path: Path, sentence: str, line: int | None = None) -> None:
        """Add a problem; its line is that of the field which the sentence begins with, if it is not known."""
        self._append(_where(path, sentence, line), sentence, is_remark=False)

    def remark(self, path: Path, sentence: str, line: int | None = None, group: str = "") -> None:
        """Add a remark; those with the same ``group`` (else sentence) on the same file are only counted."""
        key = (path, group or sentence)
        if key in self._remarks:
            first = self._remarks[key]
            self._found[first] = replace(self._found[first], alike=self._found[first].alike + 1)
            return
        self._remarks[key] = len(self._found)
        self._append(_where(path, sentence, line), sentence, is_remark=True)

    def _append(self, where: str, sentence: str, is_remark: bool) -> None:
        named = _FIELD.fullmatch(sentence)
        field, rest = named.groups() if named else ("", sentence)
        self._found.append(Finding(where, field, rest, is_remark))


def _where(path: Path, sentence: str, line: int | None) -> str:
    if line is None:
        named = _FIELD.fullmatch(sentence)
        line = line_of(path, named[1] if named else "", sentence)
    return place(path) if line is None else f"{place(path)}:{line}"
