"""``-k`` with the beginning of a contest definition's name selects that track, over all solutions of the ini."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pytest_fib.data.readers import read_solution

ROOT = Path(__file__).resolve().parents[2]
# Beginning of the names, workloads at the contest's size.
TRACKS = {"moe_fp8": 19, "gdn_decode": 54, "gdn_prefill": 100, "dsa_sparse": 23, "dsa_topk": 128}


def definitions(group: str) -> Counter[str]:
    """How many solutions there are of each definition of a group."""
    paths = (ROOT / "solutions" / group).glob("*/*.json")
    return Counter(read_solution(path).solution.definition for path in paths)


def selected(pytester: pytest.Pytester, group: str, word: str) -> Counter[str]:
    """How many items ``-k word`` leaves of each definition."""
    solutions, sets = ROOT / "solutions" / group, ROOT / "tracesets" / group
    pytester.makeini(f"[pytest]\nfib_solutions = {solutions}\nfib_tracesets = {sets}\n")
    result = pytester.runpytest("--collect-only", "-q", "-k", word)
    ids = [line.split("::")[0] for line in result.outlines if "::" in line]
    return Counter(Path(name).stem for name in ids)


def test_of_the_contest_s_size(pytester: pytest.Pytester) -> None:
    known = definitions("mlsys26")
    assert len(known) == len(TRACKS)
    for word, workloads in TRACKS.items():
        (name,) = [name for name in known if name.startswith(word)]
        assert selected(pytester, "mlsys26", word) == {name: workloads * known[name]}


def test_of_a_laptop_s_size(pytester: pytest.Pytester) -> None:
    known = definitions("mini")
    for word in TRACKS:
        wanted = {name for name in known if name.startswith(word)}
        assert wanted
        assert selected(pytester, "mini", word).keys() == wanted
