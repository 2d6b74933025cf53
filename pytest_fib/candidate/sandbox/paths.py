"""Which mounts and symbolic links a set of paths amounts to, so that each is found under its own name."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

_MAX_LINKS = 40  # as the kernel has it


@dataclass(frozen=True)
class View:
    """What has to be made for a set of paths: real paths, parents before children, and the links that lead there."""

    real: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def view_of(paths: Iterable[str]) -> View:
    """Follow every path link by link; real paths below another one, and links below one, come with it."""
    real: set[str] = set()
    links: dict[str, str] = {}
    for path in paths:
        _follow(path, real, links)
    kept = [path for path in sorted(real) if not any(parent in real for parent in _parents(path))]
    shown = [
        (link, target) for link, target in sorted(links.items()) if not any(p in real for p in _parents(link))
    ]
    return View(tuple(kept), tuple(shown))


def _parents(path: str) -> list[str]:
    parents = []
    while path != "/":
        path = posixpath.dirname(path)
        parents.append(path)
    return parents


def _follow(path: str, real: set[str], links: dict[str, str]) -> None:
    """Add the real path that ``path`` leads to, unless it leads nowhere, and every link on the way."""
    here, ahead, met = "/", path.split("/"), 0
    while ahead:
        name = ahead.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            here = posixpath.dirname(here)
            continue
        step = posixpath.join(here, name)
        try:
            target = os.readlink(step)
        except OSError:
            here = step
            continue
        met += 1
        if met > _MAX_LINKS:
            return
        links[step] = target
        ahead = target.split("/") + ahead
        if target.startswith("/"):
            here = "/"
    if os.path.lexists(here) and here != "/":
        real.add(here)
