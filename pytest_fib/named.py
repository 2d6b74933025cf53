"""What the user named: the solutions and the tracesets of a run."""

from __future__ import annotations

import difflib
import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_fib.data.files import shown
from pytest_fib.data.readers import read_solution
from pytest_fib.data.solution import LoadedSolution
from pytest_fib.data.starterkit import CONFIG_FILE
from pytest_fib.data.text import escape, slug
from pytest_fib.data.traceset import Traceset
from pytest_fib.errors import DataError, SettingsError
from pytest_fib.settings import Settings

_LISTED = 20


@dataclass(frozen=True)
class NamedSolution:
    """A solution under judgement; ``slug`` is its name in ids, unique in the run."""

    loaded: LoadedSolution
    slug: str


@dataclass(frozen=True)
class BadSolution:
    """A file or folder that the ini names as a solution, and why it cannot be one."""

    path: Path
    problem: str


def find_solutions(
    settings: Settings, tracesets: Sequence[Traceset]
) -> tuple[tuple[NamedSolution, ...], tuple[BadSolution, ...]]:
    """Read the solutions that the settings name.

    Raises
    ------
    SettingsError
        A solution named by a flag cannot be read or belongs to no definition of the tracesets, or one that the
        ini names without a glob is not there.
    """
    good: list[LoadedSolution] = []
    bad: list[BadSolution] = []
    for path in _distinct(_solution_paths(settings)):
        found = _read(path, tracesets)
        if isinstance(found, LoadedSolution):
            good.append(found)
        elif settings.solutions_from_flag:
            raise SettingsError(found.problem)
        else:
            bad.append(found)
    return tuple(_with_slugs(good)), tuple(bad)


def find_tracesets(settings: Settings, rootpath: Path, environ: Mapping[str, str]) -> tuple[Traceset, ...]:
    """The tracesets of a run: flags, else ini, else ``$FIB_DATASET_PATH``, else below rootdir, else our own.

    Raises
    ------
    SettingsError
        A folder that was named is not there.
    """
    if settings.tracesets:
        source = "--fib-traceset" if settings.tracesets_from_flag else "ini option fib_tracesets"
        return tuple(Traceset(_folder(path, source)) for path in settings.tracesets)
    if environ.get("FIB_DATASET_PATH"):
        return (Traceset(_folder(Path(environ["FIB_DATASET_PATH"]), "FIB_DATASET_PATH")),)
    below = [path for path in sorted(rootpath.glob("tracesets/*")) if (path / "definitions").is_dir()]
    return tuple(Traceset(path) for path in below or [shipped_traceset()])


def shipped_traceset() -> Path:
    """The dataset root that comes with the package."""
    return Path(__file__).parent / "tracesets" / "mini"


def traceset_of(path: Path, tracesets: Iterable[Traceset]) -> Traceset | None:
    """The traceset whose ``workloads`` folder holds ``path``; None when it lies below no such folder."""
    for traceset in tracesets:
        if path.is_relative_to(traceset.root / "workloads"):
            return traceset
    for parent in path.parents:
        if parent.name == "workloads":
            return Traceset(parent.parent)
    return None


def tracesets_of_arguments(paths: Iterable[Path], tracesets: Sequence[Traceset]) -> list[Traceset]:
    """Further tracesets that explicit test paths point into."""
    roots = {traceset.root for traceset in tracesets}
    found = []
    for path in paths:
        traceset = Traceset(path) if (path / "workloads").is_dir() else traceset_of(path / "_", tracesets)
        if traceset is not None and traceset.root not in roots:
            roots.add(traceset.root)
            found.append(traceset)
    return found


def is_starter_kit(path: Path) -> bool:
    """Whether a folder is a starter-kit folder."""
    return (path / CONFIG_FILE).is_file()


def _solution_paths(settings: Settings) -> Iterator[Path]:
    if settings.solutions_from_flag:
        yield from settings.solutions
        return
    for entry in settings.solutions:
        matches = (
            [entry] if entry.exists() else [Path(p) for p in sorted(glob.glob(str(entry), recursive=True))]
        )
        if not matches and not glob.has_magic(str(entry)):
            raise SettingsError(
                f"ini option fib_solutions names {shown(entry)}, which is not there; correct it"
            )
        for match in matches:
            yield from _solutions_below(match) if match.is_dir() else [match]


def _solutions_below(folder: Path) -> Iterator[Path]:
    """The starter-kit folders and JSON files in a folder, sorted; nothing inside a kit counts by itself."""
    if is_starter_kit(folder):
        yield folder
        return
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _solutions_below(entry)
        elif entry.suffix == ".json":
            yield entry


def _distinct(paths: Iterable[Path]) -> list[Path]:
    return list({os.path.realpath(path): Path(os.path.abspath(path)) for path in paths}.values())


def _read(path: Path, tracesets: Sequence[Traceset]) -> LoadedSolution | BadSolution:
    try:
        loaded = read_solution(path)
        _check_definition(loaded, tracesets)
    except DataError as error:
        return BadSolution(path, str(error))
    return loaded


def _check_definition(loaded: LoadedSolution, tracesets: Sequence[Traceset]) -> None:
    name = loaded.solution.definition
    if any(knows_definition(traceset, name) for traceset in tracesets):
        return
    searched = ", ".join(shown(traceset.root) for traceset in tracesets)
    alike = _most_alike(name, tracesets)
    guess = f"did you mean '{escape(alike, 120)}'? Correct" if alike else "correct"
    raise DataError(
        f"{shown(loaded.path)}: field 'definition': '{escape(name, 120)}' is in none of the tracesets {searched}; "
        f"{guess} the name or name the dataset with --fib-traceset=DIR"
    )


def _most_alike(name: str, tracesets: Iterable[Traceset]) -> str | None:
    """The file name of a definition that is nearly called ``name``; no file is read for it."""
    names = sorted({path.stem for traceset in tracesets for path in traceset.definition_files()})
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return found[0] if found else None


def knows_definition(traceset: Traceset, name: str) -> bool:
    """Whether there is such a definition; one that is there and broken is reported where it is collected."""
    if any(path.stem == name for path in traceset.definition_files()):
        return True
    try:
        traceset.definition(name)
    except DataError:
        return False
    return True


def _with_slugs(solutions: Sequence[LoadedSolution]) -> Iterator[NamedSolution]:
    """Give each solution an id; those that share a name get their content hash, then a number, appended."""
    names = Counter(slug(loaded.solution.name) for loaded in solutions)
    used: Counter[str] = Counter()
    for loaded in solutions:
        name = slug(loaded.solution.name)
        if names[name] > 1:
            name = f"{name}-{loaded.solution.content_hash[:8]}"
        used[name] += 1
        yield NamedSolution(loaded, name if used[name] == 1 else f"{name}-{used[name]}")


def same_name_line(solutions: Iterable[NamedSolution]) -> str | None:
    """Say which file is which where solutions share a name, so that their ids have something appended; else None."""
    renamed = [named for named in solutions if named.slug != slug(named.loaded.solution.name)]
    if not renamed:
        return None
    which = ", ".join(f"{named.slug} is {shown(named.loaded.path)}" for named in renamed[:_LISTED])
    more = f" and {len(renamed) - _LISTED} more" if len(renamed) > _LISTED else ""
    return f"fib: several solutions have the same name: {which}{more}"


def _folder(path: Path, source: str) -> Path:
    if not path.is_dir():
        raise SettingsError(f"{source} names {shown(path)}, which is not a folder; correct the path")
    return path
