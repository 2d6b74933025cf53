"""Libraries of headers that a solution may name among its dependencies, and where they are on this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HEADERS: Mapping[str, str] = {"cutlass": "cutlass/cutlass.h"}
"""By name: the header that every installation has."""

_NAMED_BY = ("CUTLASS_PATH", "CUTLASS_HOME", "CUTLASS_DIR")
_SYSTEM = ("/usr/local/cutlass/include", "/usr/local/cuda/include", "/usr/local/include", "/usr/include")
_PACKAGES = ("cutlass_library/source/include", "flashinfer/data/cutlass/include")


def include_folders(dependencies: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the include folders of those ``dependencies`` that are header libraries and can be found.

    They are looked for where the environment names them, in the system's folders, then in installed packages.
    """
    found: list[str] = []
    for name in dependencies:
        header = HEADERS.get(name.lower())
        if header is None:
            continue
        folder = next((place for place in _places(environ) if Path(place, header).is_file()), None)
        if folder is not None:
            found += [str(folder), *map(str, _beside(folder))]
    return tuple(dict.fromkeys(found))


def missing_headers(dependencies: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of ``dependencies`` that are header libraries and are not on this machine."""
    wanted = [name for name in dependencies if name.lower() in HEADERS]
    return tuple(name for name in wanted if not include_folders([name], environ))


def header_versions(dependencies: Sequence[str], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what tells one version of those libraries from another: their folders and ``version.h``."""
    folders = include_folders(dependencies, environ)
    texts = [Path(folder, name, "version.h") for folder in folders for name in HEADERS]
    return (*folders, *(path.read_text(errors="replace") for path in texts if path.is_file()))


def _places(environ: Mapping[str, str]) -> Iterator[Path]:
    for variable in _NAMED_BY:
        if environ.get(variable, "").startswith("/"):
            yield Path(environ[variable], "include")
            yield Path(environ[variable])
    yield from map(Path, _SYSTEM)
    yield from (Path(package, place) for package in sys.path for place in _PACKAGES if package)


def _beside(include: Path) -> Iterator[Path]:
    """CUTLASS keeps what its examples share in a second folder of headers."""
    tools = include.parent / "tools" / "util" / "include"
    if tools.is_dir():
        yield tools
