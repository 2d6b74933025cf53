"""Nothing of a solution's folder may configure the judge: refuses such a start before a conftest is loaded.

pytest looks for its rootdir and ini before plugins exist, so the value of ``--fib-solution DIR`` (with a
space) counts as a test path there and ``DIR/pytest.ini`` would be read; ``--fib-solution=DIR`` does not.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_fib.data.files import shown
from pytest_fib.data.text import escape
from pytest_fib.errors import SettingsError
from pytest_fib.options import VALUE_FLAGS


def check_start(config: pytest.Config, args: Sequence[str]) -> None:
    """Raise pytest.UsageError when the start would let a solution's folder configure the judge."""
    try:
        _check_start(config, args)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None


def _check_start(config: pytest.Config, args: Sequence[str]) -> None:
    """Raise SettingsError when a ``--fib-*`` value moved rootdir or ini, or a named folder holds them."""
    _refuse_moved_root(config, args)
    for folder in _named_folders(config):
        for found in _loaded_from(folder, config):
            raise SettingsError(
                f"{shown(found)} lies in the solution folder {shown(folder)} and would be loaded into the judge; "
                f"start pytest from another folder, or use: fib run {shown(folder)}"
            )
        entries = [Path(entry or ".") for entry in sys.path]
        for found in _inside(folder, (entry for entry in entries if entry.exists())):
            raise SettingsError(
                f"Python's import path holds {shown(found)}, in the solution folder {shown(folder)}, whose "
                "modules would be loaded into the judge; start pytest, not python -m pytest, and without PYTHONPATH"
            )


def _refuse_moved_root(config: pytest.Config, args: Sequence[str]) -> None:
    here = config.invocation_params.dir
    spaced = [(flag, value) for flag, value in _spaced_values(args) if (here / value).exists()]
    if not spaced:
        return
    expected = _root_and_ini(config)
    if expected == (config.rootpath, config.inipath):
        return
    flag, value = spaced[0]
    raise SettingsError(
        f"pytest took the value of {flag} for a test path, so its rootdir became {shown(config.rootpath)} and its "
        f"ini {shown(config.inipath) if config.inipath else 'none'}; write {flag}={escape(value)}"
    )


def _spaced_values(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    for token, following in pairwise(args):
        if token in VALUE_FLAGS:
            yield token, following


def _root_and_ini(config: pytest.Config) -> tuple[Path, Path | None] | None:
    """The rootdir and ini that pytest finds for the true test paths alone; None when it cannot be asked."""
    try:
        from _pytest.config.findpaths import determine_setup
    except ImportError:
        return None
    known = config.known_args_namespace
    offered: dict[str, Any] = {
        "inifile": known.inifilename,
        "override_ini": known.override_ini,
        "args": known.file_or_dir,
        "rootdir_cmd_arg": known.rootdir or None,
        "invocation_dir": config.invocation_params.dir,
    }
    wanted = inspect.signature(determine_setup).parameters
    if not wanted.keys() <= offered.keys():
        return None
    rootdir, inipath, *_ = determine_setup(**{name: offered[name] for name in wanted})
    return rootdir, inipath


def _named_folders(config: pytest.Config) -> Iterator[Path]:
    known = config.known_args_namespace
    for value in (*(known.fib_solution or ()), *(known.fib_baseline or ())):
        folder = (config.invocation_params.dir / value).resolve()
        if folder.is_dir():
            yield folder


def _loaded_from(folder: Path, config: pytest.Config) -> Iterator[Path]:
    """Files inside ``folder`` that pytest, as it was started, has read or is about to import."""
    if config.inipath:
        yield from _inside(folder, [config.inipath])
    if not config.known_args_namespace.noconftest:
        for anchor in _conftest_anchors(config):
            candidates = [path / "conftest.py" for path in (anchor, *anchor.parents)]
            candidates += anchor.glob("test*/conftest.py")
            yield from _inside(folder, (path for path in candidates if path.is_file()))


def _conftest_anchors(config: pytest.Config) -> list[Path]:
    here = config.invocation_params.dir
    paths = [here / str(arg).split("::")[0] for arg in config.known_args_namespace.file_or_dir]
    if not paths and here == config.rootpath:
        paths = [match for pattern in config.getini("testpaths") for match in here.glob(pattern)]
    anchors = [path.resolve() for path in paths or [here]]
    return [path if path.is_dir() else path.parent for path in anchors]


def _inside(folder: Path, paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.resolve().is_relative_to(folder):
            yield path
