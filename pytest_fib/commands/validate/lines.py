"""On which line of a file a field stands, for those who jump there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_fib.data import files
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_SYNTAX = re.compile(r"\bat line (\d+) column ")


def line_of(path: Path, field: str, sentence: str) -> int | None:
    """Return the line of ``field`` (``axes.n.value``), else of the nearest part around it that is there.

    A sentence about syntax says its line itself. None where there is no line, as in a folder.
    """
    said = _SYNTAX.search(sentence)
    if said:
        return int(said[1])
    try:
        text = files.read_text(path)
    except DataError:
        return None
    if path.suffix == ".toml":
        return _line_in_toml(text, field)
    return _line_in_json(text, field)


def _line_in_json(text: str, field: str) -> int:
    best, offset = "", 0
    for place, start in _places(text):
        if len(place) > len(best) and (field == place or field.startswith(place + ".")):
            best, offset = place, start
    return text.count("\n", 0, offset) + 1


def _places(text: str) -> Iterator[tuple[str, int]]:
    """Yield every key of a JSON text as the path that leads there, escaped like fields in messages."""
    stack: list[str | int] = []
    previous = None
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "{[":
            stack.append(0 if sign == "[" else "")
        elif sign in "}]":
            del stack[-1:]
        elif sign == "," and stack and isinstance(stack[-1], int):
            stack[-1] += 1
        elif sign == ":" and stack and previous is not None:
            stack[-1] = escape(_text(previous[0]), 60)
            yield ".".join(map(str, stack)), previous.start()
        previous = token


def _text(literal: str) -> str:
    try:
        return str(json.loads(literal))
    except (ValueError, RecursionError):
        return literal


def _line_in_toml(text: str, field: str) -> int:
    key = re.compile(rf"\s*{re.escape(field.rpartition('.')[2])}\s*=")
    lines = enumerate(text.splitlines(), 1)
    return next((number for number, line in lines if field and key.match(line)), 1)
