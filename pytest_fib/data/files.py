"""Reading files that nobody vouches for: size-capped, regular files only, strict UTF-8, strict JSON."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

JSON_LIMIT = 64 << 20
LINES_LIMIT = 1 << 30


@contextmanager
def open_regular(path: Path, limit: int) -> Iterator[BinaryIO]:
    """Open a regular file of at most ``limit`` bytes for reading; a FIFO, device or folder is refused, not waited for.

    Raises
    ------
    DataError
        The file is missing, not readable, not regular or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError(f"{shown(path)} cannot be read: {escape(reason)}") from None
    with os.fdopen(descriptor, "rb") as handle:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{shown(path)} is not a regular file; name a file")
        if status.st_size > limit:
            raise DataError(f"{shown(path)} has {status.st_size} bytes; at most {limit} are read")
        yield handle


def read_bytes(path: Path, limit: int = JSON_LIMIT) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    DataError
        As :func:`open_regular`.
    """
    with open_regular(path, limit) as handle:
        try:
            return handle.read(limit + 1)
        except OSError as error:
            raise DataError(f"{shown(path)} cannot be read: {escape(str(error.strerror))}") from None


def read_text(path: Path, limit: int = JSON_LIMIT) -> str:
    """Return the content of a regular file of UTF-8 text; a byte order mark is dropped.

    Raises
    ------
    DataError
        As :func:`open_regular`, or the bytes are not UTF-8.
    """
    try:
        return decode(read_bytes(path, limit))
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)} is not UTF-8 text (byte {error.start}); convert it") from None


def decode(raw: bytes) -> str:
    """Return UTF-8 text without a byte order mark; raises UnicodeDecodeError."""
    return raw.decode("utf-8-sig")


def parse_json(text: str) -> Any:
    """Return the JSON value in ``text``, stricter than ``json.loads``: no repeated keys, no broken characters.

    Raises
    ------
    DataError
        The text is not such a value; the sentence does not name the file.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise DataError(
            f"is not JSON: {error.msg.lower()} at line {error.lineno} column {error.colno}; correct it"
        ) from None
    except RecursionError:
        raise DataError("is nested too deeply to be read; flatten it") from None
    except ValueError as error:
        raise DataError(f"cannot be read as JSON: {escape(str(error), 120)}; correct it") from None
    _check_text(value)
    return value


def shown(path: Path) -> str:
    """Return a path as it may be shown in a message."""
    return escape(str(path), 300)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DataError(f"says {show(key)} twice in one object; keep one of them")
            seen.add(key)
    return table


def _check_text(value: Any) -> None:
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > 64:
            raise DataError("is nested too deeply to be read; flatten it")
        if isinstance(item, dict):
            waiting.extend((key, depth) for key in item)
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, str) and not _encodable(item):
            raise DataError(f"contains half a character (a lone surrogate) in {show(item, 40)}; remove it")


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
