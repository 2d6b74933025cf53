"""The files of a run: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from pytest_fib.data.text import escape
from pytest_fib.errors import SettingsError


def check_target(path: Path, flag: str = "--fib-report") -> None:
    """Create the folder of a file to come; SettingsError, about ``flag``, when it could not be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{flag}: the folder of {escape(str(path))} cannot be made: {error.strerror}"
        ) from None
    if path.is_dir():
        raise SettingsError(f"{flag}: {escape(str(path))} is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise SettingsError(
            f"{flag}: the folder of {escape(str(path))} cannot be written to; name another file"
        )


def write_text(path: Path, text: str) -> None:
    """Write a file so that ``path`` holds the old or the new one at any moment, never a part.

    A path that is not a regular file (a pipe, ``/dev/stdout``) is written to as it is. Raises OSError.
    """
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        path.write_text(text, encoding="utf-8")
        return
    temporary = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        _write_durably(temporary, text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _write_durably(path: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Some file systems refuse to sync a folder; the file itself is safe by then."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
