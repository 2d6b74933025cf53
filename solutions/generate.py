"""Write the solutions as official Solution JSON from the source folders in ``src``.

    python solutions/generate.py            write every file that is not up to date
    python solutions/generate.py --check    write nothing; exit 1 if a file is not up to date

A row of ``table.py`` is one solution. Its sources are all files of ``src/<folder>``; what they include or import from
``src/shared`` lands beside them. The folder's name ends in the language; the first line of the entry file is the
description.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from table import TABLE, Row

ROOT = Path(__file__).resolve().parent
AUTHOR = "pytest-fib"
INCLUDE = re.compile(r'^#include "(.+)"$|^from \.(\w+) import ', re.MULTILINE)
HEAD = """\
# Solutions

This page, and every JSON file that it names, is written by `python solutions/generate.py` from `table.py` and the
readable sources in `src/`. Judge one with `pytest --fib-solution=solutions/<file>`; what a solution is says
[docs/solutions.md](../docs/solutions.md). [starter_kit/fused_add_rmsnorm/](starter_kit/fused_add_rmsnorm) is
one in the contest's folder layout: the folder is what `--fib-solution` takes.
"""
ABOUT = {
    "mini": "Each passes on a CPU, all workloads in seconds; Triton ones in Triton's interpreter.",
    "mlsys26": "Starting points for the contest's tracks, full size: the sources are those of `mini`.",
    "official": "For definitions of FlashInfer-Bench's data set of which captured workloads are public.",
}
COLUMNS = "| op type | definition | Python | Triton | C++ |\n|---|---|---|---|---|"
HARDWARE = {"python": ["cpu", "cuda"], "triton": ["cpu", "cuda"], "cpp": ["cpu"]}


def generated_files() -> dict[Path, str]:
    """The content of every generated file, by its path."""
    files = {ROOT / row.path: json.dumps(solution(row), indent=2) + "\n" for row in TABLE}
    return {**files, ROOT / "README.md": readme()}


def readme() -> str:
    """The page that lists every solution by its track."""
    sections = [HEAD]
    for group in dict.fromkeys(row.group for row in TABLE):
        definitions: dict[tuple[str, str], list[Row]] = {}
        for row in TABLE:
            if row.group == group:
                definitions.setdefault((row.path.parent.name, row.definition), []).append(row)
        lines = "".join(_line(*names, rows) for names, rows in sorted(definitions.items()))
        sections.append(f"## {group}\n\n{ABOUT[group]}\n\n{COLUMNS}\n{lines}")
    return "\n".join(sections)


def _line(op_type: str, definition: str, rows: list[Row]) -> str:
    cells = [
        ", ".join(_links(row) for row in rows if row.language == language)
        for language in ("python", "triton", "cpp")
    ]
    return f"| {op_type} | `{definition}` | {' | '.join(cells)} |\n"


def _links(row: Row) -> str:
    return f"[{row.name}]({row.path.as_posix()}) ([source](src/{row.folder}))"


def solution(row: Row) -> dict[str, Any]:
    """One solution in the official schema."""
    entry_file = row.entry_point.partition("::")[0]
    sources = dict(_sources(ROOT / "src" / row.folder))
    return {
        "name": row.name,
        "definition": row.definition,
        "author": AUTHOR,
        "spec": {
            "language": row.language,
            "target_hardware": HARDWARE[row.language],
            "entry_point": row.entry_point,
            "dependencies": [],
            "destination_passing_style": row.destination_passing,
            "binding": "tvm-ffi" if row.language == "cpp" else None,
        },
        "sources": [
            {"path": path, "content": sources[path]}
            for path in sorted(sources, key=lambda path: (path != entry_file, path))
        ],
        "description": sources[entry_file].splitlines()[0].strip('/" '),
    }


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    waiting = sorted(path for path in folder.rglob("*") if path.suffix in {".py", ".cc", ".h"})
    taken = {path.relative_to(folder).as_posix() for path in waiting}
    while waiting:
        path = waiting.pop(0)
        text = path.read_text(encoding="utf-8")
        yield path.name if path.parent.name == "shared" else path.relative_to(folder).as_posix(), text
        shared = [path for path in map(_shared, INCLUDE.findall(text)) if path.name not in taken]
        taken.update(path.name for path in shared)
        waiting += shared


def _shared(names: tuple[str, str]) -> Path:
    header, module = names
    return ROOT / "src" / "shared" / (header or f"{module}.py")


def _stale(files: dict[Path, str]) -> list[Path]:
    groups = {row.group for row in TABLE}
    present = {path for group in groups for path in (ROOT / group).glob("*/*.json")}
    changed = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    return changed + sorted(present - files.keys())


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if a file is not up to date"
    )
    check = parser.parse_args(arguments).check
    files = generated_files()
    stale = _stale(files)
    for path in stale:
        print(f"{'stale' if check else 'written' if path in files else 'removed'}: {path.relative_to(ROOT)}")
        if check:
            continue
        if path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
        else:
            path.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
