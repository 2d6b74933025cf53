"""Nothing in a solution's folder configures the judge, however pytest is started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

BIN = Path(sys.executable).parent
EVIL = "open({mark!r}, 'w').write('the kit ran in the judge')\n"


@pytest.fixture
def hostile(two_ops: Project) -> Project:
    """A project beside a starter kit that wants to be loaded by pytest."""
    mark = str(two_ops.root / "EVIL")
    two_ops.kit("kit_solution", "norm", "RUNTIME_ERROR honest failure")
    two_ops.write("kit/pytest.ini", "[pytest]\naddopts = -k nothing\nfib_atol = 1e9\n")
    two_ops.write("kit/conftest.py", EVIL.format(mark=mark))
    two_ops.write("kit/test_evil.py", EVIL.format(mark=mark))
    two_ops.write("kit/torch.py", EVIL.format(mark=mark))
    return two_ops


def run(pytester: pytest.Pytester, project: Project, *args: str, folder: str = "") -> pytest.RunResult:
    """Start the installed ``pytest`` in a process of its own and check that the kit's code was not loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root / folder)
        result = pytester.run("env", "-u", "PYTHONPATH", BIN / "pytest", *args)
    assert not (project.root / "EVIL").exists()
    return result


def test_a_folder_given_with_an_equals_sign_is_data(pytester, hostile: Project) -> None:
    result = run(pytester, hostile, "--fib-solution=kit")
    result.assert_outcomes(failed=3)
    assert "atol=None" in hostile.judge_log()[0]


@pytest.mark.parametrize("folder", ["kit", "./kit/", "solutions/../kit"])
def test_a_folder_given_with_a_space_is_refused_where_it_moves_rootdir(
    pytester, hostile: Project, folder: str
) -> None:
    (hostile.root / "solutions").mkdir()
    result = run(pytester, hostile, "--fib-solution", folder)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *--fib-solution=*"])
    assert hostile.judge_log() == []


def test_any_flag_with_a_space_is_refused_where_it_moves_rootdir(pytester, hostile: Project) -> None:
    hostile.write("kit/r.json", "{}")
    result = run(pytester, hostile, "--fib-solution=kit", "--fib-report", "kit/r.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *--fib-report=kit/r.json"])


def test_a_space_is_harmless_where_rootdir_and_ini_stay(pytester, hostile: Project) -> None:
    path = hostile.solution("s", "norm")
    run(pytester, hostile, "--fib-solution", str(path)).assert_outcomes(passed=3)
    for args in (
        ("--fib-solution", "solutions/s.json", "--fib-seed", "7"),
        ("-c", "tox.ini", "--fib-solution", "kit"),
    ):
        result = run(pytester, hostile, *args, "--collect-only", "-q")
        result.stdout.fnmatch_lines(["3 tests collected*"])


def test_inside_its_own_folder_a_kit_that_configures_pytest_is_refused(pytester, hostile: Project) -> None:
    for name, folder in (("pytest.ini", "kit"), ("conftest.py", "kit"), ("pytest.ini", "kit/solution")):
        up = "/".join([".."] * folder.count("/")) or "."
        result = run(
            pytester, hostile, f"--fib-solution={up}", "--fib-traceset=../tracesets/one", folder=folder
        )
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *{name} lies in the solution folder *fib run*"])
        (hostile.root / "kit/pytest.ini").unlink(missing_ok=True)
        if name == "conftest.py":
            hostile.write("kit/pytest.ini", "[pytest]\n")
            (hostile.root / "kit/conftest.py").unlink()


def test_a_conftest_in_a_tests_folder_of_the_kit_is_refused_too(pytester, hostile: Project) -> None:
    (hostile.root / "kit/pytest.ini").unlink()
    (hostile.root / "kit/conftest.py").rename(hostile.root / "moved.txt")
    (hostile.root / "kit/tests").mkdir()
    (hostile.root / "moved.txt").rename(hostile.root / "kit/tests/conftest.py")
    result = run(pytester, hostile, "--fib-solution=.", "--fib-traceset=../tracesets/one", folder="kit")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_a_kit_on_the_import_path_is_refused(pytester, hostile: Project, monkeypatch) -> None:
    for name in ("pytest.ini", "conftest.py", "test_evil.py"):
        (hostile.root / "kit" / name).unlink()
    monkeypatch.chdir(hostile.root / "kit")
    result = pytester.run(
        sys.executable, "-m", "pytest", "--fib-solution=.", "--fib-traceset=../tracesets/one"
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: Python's import path holds *kit, in the solution folder *"])


def test_a_kit_that_configures_nothing_is_judged_from_its_own_folder(pytester, two_ops: Project) -> None:
    two_ops.kit("mine", "norm", folder="kit")
    result = run(
        pytester,
        two_ops,
        "--fib-solution=.",
        "--fib-traceset=../tracesets/one",
        "--collect-only",
        folder="kit",
    )
    result.stdout.fnmatch_lines(["*3 tests collected*"])


def test_a_kit_that_the_ini_names_is_not_collected_as_tests(pytester, hostile: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = kit\n")
    hostile.write("test_own.py", "def test_own(): pass")
    run(pytester, hostile).assert_outcomes(passed=1, failed=3)


def test_a_bad_kit_that_the_ini_names_is_one_failed_item(pytester, hostile: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = kit\ntestpaths = tests\n")
    hostile.write("tests/test_own.py", "def test_own(): pass")
    hostile.write("kit/config.toml", "[solution\n")
    result = run(pytester, hostile)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*config.toml*"])
    run(pytester, hostile, ".").assert_outcomes(passed=1, failed=1)


class TestFibRun:
    """``fib run`` judges what is not trusted, from anywhere."""

    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

    @pytest.mark.parametrize(("solution", "folder"), [("kit", ""), (".", "kit"), ("..", "kit/solution")])
    def test_it_is_not_configured_by_the_kit(
        self, pytester, hostile: Project, solution: str, folder: str
    ) -> None:
        sets = f"--fib-traceset={hostile.root}/tracesets/one"
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(hostile.root / folder)
            result = pytester.run(
                "env", "-u", "PYTHONPATH", BIN / "fib", "run", solution, sets, "--collect-only", "-q"
            )
        assert not (hostile.root / "EVIL").exists()
        assert result.ret == pytest.ExitCode.OK
        result.stdout.fnmatch_lines(["fib/one/norm.jsonl::kit_solution::batch_size1-*", "3 tests collected*"])

    def test_without_a_solution_it_says_what_is_missing(self, pytester) -> None:
        result = pytester.run(BIN / "fib", "run", "-v")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: name at least one solution*"])

    def test_it_starts_without_a_warning(self, pytester, two_ops: Project) -> None:
        sets = f"--fib-traceset={two_ops.root}/tracesets/one"
        path = two_ops.solution("s", "norm")
        result = pytester.run(BIN / "fib", "run", path, sets, "--collect-only")
        assert result.ret == pytest.ExitCode.OK
        assert "Warning" not in result.stdout.str() + result.stderr.str()

    def test_its_status_is_pytests(self, pytester, two_ops: Project) -> None:
        result = pytester.run(BIN / "fib", "run", "missing.json")
        assert result.ret == pytest.ExitCode.USAGE_ERROR

    def test_version_and_help(self, pytester) -> None:
        pytester.run(BIN / "fib", "--version").stdout.fnmatch_lines(["pytest-fib *"])
        pytester.run(BIN / "fib", "run", "--help").stdout.fnmatch_lines(["usage: fib run SOLUTION...*"])
