"""What the ini and the flags name: globs, folders, bad solutions, and where tracesets come from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fib.errors import SettingsError
from pytest_fib.named import find_tracesets, shipped_traceset
from pytest_fib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project


def solutions(pytester: pytest.Pytester, *args: str) -> list[str]:
    """The solutions that are collected, once each."""
    result = pytester.runpytest("--collect-only", "-q", *args)
    return list(dict.fromkeys(line.split("::")[1] for line in result.outlines if "::" in line))


@pytest.mark.parametrize(
    ("ini", "found"),
    [
        ("solutions/norm/a.json", ["a"]),
        ("solutions/norm/*.json", ["a", "b"]),
        ("solutions/[nm]*/**/*.json", ["a", "b", "m"]),
        ("solutions", ["a", "b", "m", "kit"]),
        ("solutions/norm/a.json solutions/moe", ["a", "m"]),
        ("solutions/norm/a.json solutions/norm/*.json", ["a", "b"]),
        ("solutions/kits/*", ["kit"]),
        ("solutions/kits/one", ["kit"]),
    ],
)
def test_the_ini_names_files_folders_and_globs(
    pytester, two_ops: Project, ini: str, found: list[str]
) -> None:
    for name, folder, definition in (("a", "norm", "norm"), ("b", "norm", "norm"), ("m", "moe", "moe_fp8_x")):
        two_ops.solution(name, definition, path=f"solutions/{folder}/{name}.json")
    two_ops.kit("kit", "norm", folder="solutions/kits/one")
    two_ops.write("solutions/kits/one/data.json", "{}")
    two_ops.write("solutions/.hidden/x.json", "{}")
    pytester.makeini(f"[pytest]\nfib_solutions = {ini}\n")
    assert sorted(solutions(pytester)) == sorted(found)


def test_the_ini_may_be_a_pyproject(pytester, two_ops: Project) -> None:
    (two_ops.root / "tox.ini").unlink()
    two_ops.solution("a", "norm")
    two_ops.write("pyproject.toml", '[tool.pytest.ini_options]\nfib_solutions = ["solutions/*.json"]\n')
    assert solutions(pytester) == ["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "*bad.json*"), (None, "*nrom*is in none of*"), ("", "*bad.json*")],
)
def test_a_bad_solution_of_a_glob_is_one_failed_item_and_the_others_run(
    pytester, two_ops: Project, content: str | None, message: str
) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    two_ops.solution("good", "norm")
    two_ops.solution("bad", "nrom")
    if content is not None:
        two_ops.write("solutions/bad.json", content)
    result = pytester.runpytest()
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([message, "FAILED solutions/bad.json::unusable*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    pytester.runpytest("--lf", "--fib-report=r.json").assert_outcomes(failed=1)
    (entry,) = json.loads((pytester.path / "r.json").read_text())["skipped"]
    assert entry["nodeid"] == "solutions/bad.json::unusable"
    assert "bad.json" in entry["reason"]
    pytester.runpytest("-k", "not bad").assert_outcomes(passed=3, deselected=1)


def test_a_file_that_the_ini_names_and_that_is_missing_is_a_usage_error(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/good.json solutions/gone.json\n")
    two_ops.solution("good", "norm")
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: ini option fib_solutions names *gone.json*"])


def test_a_bad_solution_in_the_ini_does_not_matter_beside_a_flag(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    path = two_ops.solution("good", "norm", path="good.json")
    two_ops.write("solutions/bad.json", "{")
    pytester.runpytest(f"--fib-solution={path}").assert_outcomes(passed=3)


class TestTracesets:
    """Flags, else ini, else the environment, else below rootdir, else our own."""

    def roots(self, settings: Settings, rootdir: Path, **environ: str) -> list[Path]:
        return [traceset.root for traceset in find_tracesets(settings, rootdir, environ)]

    def test_settings_come_first(self, tmp_path: Path) -> None:
        (tmp_path / "tracesets/below/definitions").mkdir(parents=True)
        (tmp_path / "named").mkdir()
        settings = Settings(tracesets=(tmp_path / "named",))
        assert self.roots(settings, tmp_path, FIB_DATASET_PATH="/nowhere") == [tmp_path / "named"]

    def test_then_the_environment(self, tmp_path: Path) -> None:
        (tmp_path / "tracesets/below/definitions").mkdir(parents=True)
        assert self.roots(Settings(), tmp_path, FIB_DATASET_PATH=str(tmp_path)) == [tmp_path]

    def test_then_those_below_rootdir(self, tmp_path: Path) -> None:
        for name in ("b", "a"):
            (tmp_path / "tracesets" / name / "definitions").mkdir(parents=True)
        (tmp_path / "tracesets/none").mkdir()
        below = tmp_path / "tracesets"
        assert self.roots(Settings(), tmp_path, FIB_DATASET_PATH="") == [below / "a", below / "b"]

    def test_else_the_one_in_the_package(self, tmp_path: Path) -> None:
        assert self.roots(Settings(), tmp_path) == [shipped_traceset()]
        assert list((shipped_traceset() / "definitions").glob("*/*.json"))

    def test_a_folder_that_is_missing_is_one_sentence(self, tmp_path: Path) -> None:
        settings = Settings(tracesets=(tmp_path / "gone",), tracesets_from_flag=True)
        with pytest.raises(SettingsError, match=r"--fib-traceset names .*gone'?, which is not a folder"):
            find_tracesets(settings, tmp_path, {})


def test_a_definition_in_two_tracesets_is_judged_in_both(pytester, two_ops: Project) -> None:
    two_ops.definition("norm", traceset="tracesets/two")
    two_ops.workloads("norm", [5], traceset="tracesets/two")
    pytester.runpytest(f"--fib-solution={two_ops.solution('s', 'norm')}").assert_outcomes(passed=4)
    judged = [line.split()[-1] for line in two_ops.judge_log() if line.startswith("judge")]
    assert sorted(judged) == ["one"] * 3 + ["two"]


def test_a_hostile_file_name_does_not_reach_the_terminal(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    two_ops.write("solutions/evil\x1b[31m\u202e.json", "{")
    result = pytester.runpytest("-v")
    result.assert_outcomes(failed=1)
    assert not {"\x1b", "\u202e"} & set(result.stdout.str())
