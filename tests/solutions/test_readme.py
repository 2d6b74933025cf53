"""The list of all solutions: each of them once, under its track, with links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_fib.data.readers import read_solution

SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"
PAGE = (SOLUTIONS / "README.md").read_text()


def test_every_solution_is_listed_once_in_the_row_of_its_definition() -> None:
    files = [path for path in SOLUTIONS.glob("*/*/*.json") if path.parts[-3] != "src"]
    assert files
    rows = PAGE.splitlines()
    for path in files:
        name = path.relative_to(SOLUTIONS).as_posix()
        (row,) = [row for row in rows if f"]({name})" in row]
        solution = read_solution(path).solution
        assert f"`{solution.definition}`" in row
        assert f"[{solution.name}]({name})" in row
        assert PAGE.index(f"## {path.parts[-3]}\n") < PAGE.index(name)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert links
    assert [link for link in links if not (SOLUTIONS / link).exists()] == []
