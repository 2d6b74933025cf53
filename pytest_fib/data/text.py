"""Text that comes from files: how it is shown to people and how it becomes part of a path or an id."""

from __future__ import annotations

import hashlib
import re
import reprlib

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
_HASHED = re.compile(r"-[0-9a-f]{10}\Z")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?\Z", re.IGNORECASE)
_SLUG_LIMIT = 120


def escape(text: str, limit: int = 200) -> str:
    """Return ``text`` on one line, with control, bidirectional, invisible and broken characters spelled out.

    At most ``limit`` characters are returned; an ellipsis says that something was cut off.
    """
    pieces: list[str] = []
    length = 0
    for char in text:
        piece = char if char.isprintable() else _spelled_out(char)
        length += len(piece)
        if length > limit:
            return _cut(pieces, limit) + "…"
        pieces.append(piece)
    return "".join(pieces)


def escape_lines(text: str) -> str:
    """Return ``text`` with its lines and tabs as they are; all else that ``escape`` spells out is spelled out."""
    lines = text.replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char in "\n\t" else _spelled_out(char) for char in lines)


def show(value: object, limit: int = 60) -> str:
    """Return a short, escaped, single-line picture of a JSON value, for use in a message."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = shortener.maxlong = limit
    return escape(shortener.repr(value), limit)


def slug(name: str) -> str:
    """Return a name that is safe as one path component and as a part of a pytest id: ``[A-Za-z0-9_.-]+``.

    A harmless name is returned unchanged. Any other gets a hash of the original appended, as does one that
    already looks as if it carried such a hash, so that two names never share a slug.
    """
    if _is_harmless(name):
        return name
    base = _UNSAFE.sub("-", name[:_SLUG_LIMIT]).strip(".-") or "unnamed"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{base[: _SLUG_LIMIT - 11]}-{digest}"


def _is_harmless(name: str) -> bool:
    return (
        0 < len(name) <= _SLUG_LIMIT
        and _UNSAFE.search(name) is None
        and name[0] not in ".-"
        and name[-1] != "."
        and _RESERVED.match(name) is None
        and _HASHED.search(name) is None
    )


def _spelled_out(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _cut(pieces: list[str], limit: int) -> str:
    room = limit - 1
    kept: list[str] = []
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept)
