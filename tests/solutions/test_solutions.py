"""Every solution of the repository, called directly, against the reference of its definition."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_fib.data.readers import read_definition, read_solution

Load = Callable[[Path], ModuleType]
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOLUTIONS = ROOT / "solutions"
NEEDS = {"python": ("torch",), "triton": ("torch", "triton"), "cpp": ("torch", "tvm_ffi")}


def paths(group: str) -> list[Path]:
    found = sorted(SOLUTIONS.glob(f"{group}/*/*.json"))
    assert found, group
    return found


KITS = sorted(path.parent for path in SOLUTIONS.glob("starter_kit/*/config.toml"))


def language(path: Path) -> str:
    return read_solution(path).solution.spec.language


def judge(language: str, *solutions: Path) -> dict[str, Any]:
    """Run them in a process of their own: Triton must be imported as an interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "1"}
    environment.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")  # both cores belong to several workers
    done = subprocess.run(
        [sys.executable, str(HERE / "judging.py"), language, *map(str, solutions)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    results = json.loads(done.stdout)
    assert isinstance(results, dict)
    return results


@cache
def outcomes(chosen: str) -> dict[str, Any]:
    """Judge all solutions of one language, half of them in each of two processes: most of the time is compiling."""
    found = [path for path in [*paths("mini"), *KITS] if language(path) == chosen]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda half: judge(chosen, *half), (found[::2], found[1::2]))
    return one | other


@pytest.mark.parametrize("path", [*paths("mini"), *KITS], ids=lambda path: path.stem)
def test_solution_is_right_and_quick(path: Path) -> None:
    chosen = language(path)
    for module in NEEDS[chosen]:
        pytest.importorskip(module)
    outcome = outcomes(chosen)[str(path)]
    wrong = {uuid: result["wrong"] for uuid, result in outcome.items() if result["wrong"]}
    assert not wrong
    assert len(outcome) >= 7
    assert max(result["seconds"] for result in outcome.values()) < 1.0


def test_a_wrong_solution_is_noticed(tmp_path: Path) -> None:
    document = json.loads((SOLUTIONS / "mini" / "rmsnorm" / "rmsnorm_python.json").read_text())
    source = document["sources"][0]
    assert "eps=1e-6" in source["content"]
    source["content"] = source["content"].replace("eps=1e-6", "eps=1.0")
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    outcome = judge("python", path)[str(path)]
    assert any("call 0 output" in result["wrong"] for result in outcome.values())


@pytest.mark.parametrize("op_type", ["rmsnorm", "gemm", "gqa_paged", "gqa_ragged", "moe", "gdn", "mamba_ssu"])
def test_every_family_has_three_languages(op_type: str) -> None:
    found = [read_solution(path).solution for path in paths("mini") if path.parent.name == op_type]
    assert {solution.spec.language for solution in found} == {"python", "cpp", "triton"}


def test_both_calling_styles_and_relative_imports_are_there() -> None:
    found = [read_solution(path).solution for path in paths("mini")]
    assert {solution.spec.destination_passing_style for solution in found} == {True, False}
    assert any("from ." in source.content for solution in found for source in solution.sources)


@pytest.mark.parametrize("path", sorted(SOLUTIONS.glob("*/*/*.json")) + KITS, ids=lambda path: path.stem)
def test_files_read_without_remarks(path: Path) -> None:
    loaded = read_solution(path)
    assert loaded.notes == ()
    assert loaded.solution.description or path in KITS
    if path in KITS or path.parent.parent.name != "official":
        definitions = [ROOT / "tracesets" / group / "definitions" for group in ("mini", "mlsys26")]
        found = [
            file for folder in definitions for file in folder.rglob(f"{loaded.solution.definition}.json")
        ]
        assert [read_definition(file).name for file in found] == [loaded.solution.definition]


def test_names_are_unique() -> None:
    names = [read_solution(path).solution.name for path in [*SOLUTIONS.glob("*/*/*.json"), *KITS]]
    assert len(names) == len(set(names))


def test_larger_definitions_share_the_sources_that_the_small_ones_prove() -> None:
    proven = {read_solution(path).solution.sources for path in paths("mini")}
    for path in [*paths("mlsys26"), *paths("official")]:
        assert read_solution(path).solution.sources in proven


def test_files_are_up_to_date(load_script: Load) -> None:
    assert load_script(SOLUTIONS / "generate.py").main(["--check"]) == 0


def test_generate_notices_and_repairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], load_script: Load
) -> None:
    copy = tmp_path / "solutions"
    shutil.copytree(SOLUTIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    generator = load_script(copy / "generate.py")
    source = copy / "src" / "shared" / "attention.h"
    source.write_text(source.read_text() + "// longer\n")
    (copy / "mini" / "gemm" / "forgotten.json").write_text("{}")
    assert generator.main(["--check"]) == 1
    assert "stale: mini/gqa_ragged/gqa_prefill_cpp.json" in capsys.readouterr().out
    assert generator.main([]) == 0
    assert "removed: mini/gemm/forgotten.json" in capsys.readouterr().out
    assert generator.main(["--check"]) == 0
