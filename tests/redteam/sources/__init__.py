"""Sources of compiled attacks, as text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent


def source(name: str, **macros: int) -> str:
    """Return the text of a file of this folder, with ``macros`` defined before it."""
    defined = "".join(f"#define {macro} {value}\n" for macro, value in macros.items())
    return defined + (_FOLDER / name).read_text(encoding="utf-8")


def headers() -> Mapping[str, str]:
    """Return path to text of what these sources include."""
    return {path.name: source(path.name) for path in sorted(_FOLDER.glob("*.h"))}
