"""Reading files that nobody vouches for: size-capped, regular files only, strict UTF-8, strict JSON.

The sentences raised here do not name the file; wrap the call in :func:`naming`.
"""

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

JSON_LIMIT = 32 << 20
LINES_LIMIT = 1 << 30
_DEPTH_LIMIT = 64


@contextmanager
def naming(path: Path, lineno: int | None = None) -> Iterator[None]:
    """Make every DataError raised inside begin with the file (and line) that it is about."""
    try:
        yield
    except DataError as error:
        here = shown(path) if lineno is None else f"{shown(path)}:{lineno}"
        where = f"{here}: {error.where}" if error.where else here
        raise DataError(*error.sentences, where=where) from None


def shown(path: Path) -> str:
    """Return a path as it may be shown in a message."""
    return escape(str(path), 300)


@contextmanager
def open_regular(path: Path, limit: int) -> Iterator[BinaryIO]:
    """Open a regular file of at most ``limit`` bytes; a FIFO, device or folder is refused, not waited for.

    Raises
    ------
    DataError
        The file is missing, not readable, not regular or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({_reason(error)}); check the path") from None
    try:
        _check_status(os.fstat(descriptor), limit)
    except DataError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as handle:
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
            return handle.read(limit)
        except OSError as error:
            raise DataError(f"cannot be read ({_reason(error)}); check the disk") from None


def read_text(path: Path, limit: int = JSON_LIMIT) -> str:
    """Return the content of a regular file of UTF-8 text; a byte order mark is dropped.

    Raises
    ------
    DataError
        As :func:`open_regular`, or the bytes are not UTF-8.
    """
    return decode(read_bytes(path, limit))


def decode(raw: bytes) -> str:
    """Return UTF-8 text without a byte order mark.

    Raises
    ------
    DataError
        The bytes are not UTF-8.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (at byte {error.start}); convert it") from None


def parse_json(text: str) -> Any:
    """Return the JSON value in ``text``; keys must not repeat, nor characters be broken, nor nesting be deep.

    Raises
    ------
    DataError
        The text is not such a value.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise DataError(f"is not JSON ({escape(error.msg, 80)} at {where}); correct it") from None
    except RecursionError:
        raise DataError("is nested too deeply to be read; flatten it") from None
    except ValueError as error:
        raise DataError(f"cannot be read as JSON ({escape(str(error), 80)}); correct it") from None
    _check_tree(value)
    return value


def _check_status(status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DataError("is not a regular file; name a file")
    if status.st_size > limit:
        raise DataError(f"has {status.st_size} bytes, but at most {limit} are read; split it")


def _reason(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return escape(text[:1].lower() + text[1:], 80)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"says {show(repeated)} twice in one object; keep one of them")
    return table


def _check_tree(value: Any) -> None:
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > _DEPTH_LIMIT:
            raise DataError("is nested too deeply to be read; flatten it")
        if isinstance(item, dict):
            waiting.extend((key, depth) for key in item)
            waiting.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, str) and not _is_whole(item):
            raise DataError(f"contains half a character (a lone surrogate) in {show(item, 40)}; remove it")


def _is_whole(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
