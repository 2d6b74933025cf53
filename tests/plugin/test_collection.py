"""Workload files become items: ids, marks, selection, and what is left out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

NORM = "tracesets/one/workloads/op/norm.jsonl"
MOE = "tracesets/one/workloads/moe/moe_fp8_x.jsonl"


def ids(pytester: pytest.Pytester, *args: object) -> list[str]:
    """The ids that ``pytest --collect-only -q`` prints."""
    result = pytester.runpytest("--collect-only", "-q", *map(str, args))
    return [line for line in result.outlines if "::" in line and not line.startswith("ERROR")]


def test_a_solution_collects_the_workloads_of_its_definition(pytester, two_ops: Project) -> None:
    path = two_ops.solution("triton_v1", "norm")
    assert ids(pytester, f"--fib-solution={path}") == [
        f"{NORM}::triton_v1::batch_size1-00000001",
        f"{NORM}::triton_v1::batch_size7-00000007",
        f"{NORM}::triton_v1::batch_size16-00000010",
    ]


def test_a_flag_replaces_testpaths_and_works_from_a_subfolder(
    pytester, two_ops: Project, monkeypatch
) -> None:
    pytester.makeini("[pytest]\ntestpaths = tests\n")
    two_ops.write("tests/test_own.py", "def test_own(): pass")
    path = two_ops.solution("s", "norm")
    assert len(ids(pytester, f"--fib-solution={path}")) == 3
    monkeypatch.chdir(two_ops.root / "tests")
    assert len(ids(pytester, "--fib-solution=../solutions/s.json")) == 3


def test_the_ini_appends_to_what_is_collected(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\ntestpaths = tests\nfib_solutions = solutions/*.json\n")
    two_ops.write("tests/test_own.py", "def test_own(): pass")
    two_ops.solution("s", "norm")
    assert len(ids(pytester)) == 1 + 3


def test_the_ini_collects_nothing_twice_where_everything_is_collected(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    two_ops.write("test_own.py", "def test_own(): pass")
    two_ops.solution("s", "norm")
    assert len(ids(pytester)) == 1 + 3


def test_a_flag_replaces_the_solutions_of_the_ini(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    two_ops.solution("s", "norm")
    path = two_ops.solution("m", "moe_fp8_x")
    assert all("::m::" in item for item in ids(pytester, f"--fib-solution={path}"))


def test_k_selects_one_track_over_all_solutions_of_the_ini(pytester, two_ops: Project) -> None:
    pytester.makeini("[pytest]\nfib_solutions = solutions/*.json\n")
    two_ops.solution("s", "norm")
    two_ops.solution("m1", "moe_fp8_x")
    two_ops.solution("m2", "moe_fp8_x")
    assert ids(pytester, "-k", "moe_fp8") == [
        f"{MOE}::{name}::batch_size{size}-0000000{size}" for name in ("m1", "m2") for size in (2, 3)
    ]


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        ("fib(op_type='moe')", 2),
        ("fib(definition='norm')", 3),
        ("fib(solution='s', batch_size=7)", 1),
        ("fib(author='somebody', language='python')", 5),
        ("fib(uuid='00000002-0000-4000-8000-000000000000')", 1),
        ("not fib", 0),
    ],
)
def test_m_selects_by_mark(pytester, two_ops: Project, expression: str, count: int) -> None:
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    assert len(ids(pytester, *args, "--strict-markers", "-m", expression)) == count


def test_explicit_paths_restrict_and_are_never_changed(pytester, two_ops: Project) -> None:
    two_ops.write("test_own.py", "def test_own(): pass")
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    assert len(ids(pytester, *args, MOE)) == 2
    assert len(ids(pytester, *args, "tracesets")) == 5
    assert ids(pytester, *args, "test_own.py") == ["test_own.py::test_own"]
    assert len(ids(pytester, *args, f"{NORM}::s::batch_size7-00000007", "test_own.py")) == 2


def test_a_traceset_outside_rootdir_has_ids_of_its_own(pytester, project: Project, tmp_path_factory) -> None:
    far = tmp_path_factory.mktemp("far") / "set"
    project.definition("norm", traceset=str(far))
    project.workloads("norm", [1], traceset=str(far))
    path = project.solution("s", "norm")
    wanted = ["fib/set/norm.jsonl::s::batch_size1-00000001"]
    assert ids(pytester, f"--fib-solution={path}", f"--fib-traceset={far}") == wanted
    assert ids(pytester, f"--fib-solution={path}", "-c", "tox.ini", far / "workloads/op/norm.jsonl") == wanted


def test_definitions_may_come_from_another_traceset(pytester, project: Project) -> None:
    project.definition("norm", traceset="definitions_only")
    project.workloads("norm", [1], traceset="workloads_only")
    path = project.solution("s", "norm")
    sets = ["--fib-traceset=definitions_only", "--fib-traceset=workloads_only"]
    assert len(ids(pytester, f"--fib-solution={path}", *sets)) == 1


def test_ids_are_safe_and_distinct_whatever_the_names(pytester, project: Project) -> None:
    project.definition("norm", axis="batch [size]::=")
    lines = [
        json.dumps({"uuid": uuid, "axes": {"batch [size]::=": 3}, "inputs": {"x": {"type": "random"}}})
        for uuid in (
            "a[b]::c d=e",
            "a[b]::c d=f",
            "abcdef01-1111-4111-8111-111111111111",
            "abcdef01-2222-4111-8111-1",
        )
    ]
    project.write(NORM, "\n".join(lines))
    path = project.solution("../../evil [name]::x\x1b[31m", "norm", path="s.json")
    found = ids(pytester, f"--fib-solution={path}")
    assert len(set(found)) == 4
    for item in found:
        file, solution, name = item.split("::")
        assert file == NORM
        assert not set(solution + name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
        )
        assert name.startswith("batch_size_3-")


def test_solutions_that_share_a_name_are_told_apart(pytester, two_ops: Project) -> None:
    two_ops.solution("same", "norm", path="solutions/a.json")
    two_ops.solution("same", "norm", "INCORRECT_SHAPE", path="solutions/b.json")
    two_ops.solution("other", "norm", path="solutions/c.json")
    args = [f"--fib-solution=solutions/{name}.json" for name in "aabc"]
    names = {item.split("::")[1] for item in ids(pytester, *args)}
    assert len(names) == 3
    assert "other" in names
    assert sum(name.startswith("same-") for name in names) == 2


def test_a_starter_kit_folder_is_a_solution(pytester, two_ops: Project) -> None:
    two_ops.kit("my_kit", "norm")
    assert [item.split("::")[1] for item in ids(pytester, "--fib-solution=kit")] == ["my_kit"] * 3


def test_the_blob_and_traces_of_a_traceset_are_not_collected(pytester, two_ops: Project) -> None:
    for folder in ("blob", "traces"):
        two_ops.write(f"tracesets/one/{folder}/workloads/norm.jsonl", two_ops.line("norm", 1, "x") + "\n")
        two_ops.write(f"tracesets/one/{folder}/test_stray.py", "raise SystemError")
    path = two_ops.solution("s", "norm")
    assert len(ids(pytester, f"--fib-solution={path}", "tracesets")) == 3


def test_only_files_of_a_named_solutions_definition_are_collected(pytester, two_ops: Project) -> None:
    two_ops.write("tracesets/one/workloads/op/other.jsonl", "broken")
    two_ops.write("elsewhere/norm.jsonl", "broken")
    path = two_ops.solution("s", "norm")
    assert len(ids(pytester, f"--fib-solution={path}", ".")) == 3


def test_a_broken_line_is_one_failed_item(pytester, two_ops: Project) -> None:
    two_ops.write(
        NORM,
        "\n".join(
            (
                two_ops.line("norm", 1, "aaaaaaaa-0000-4000-8000-000000000000"),
                '{"definition": "norm", "workload": {"uu',
                two_ops.line("other", 1, "bbbbbbbb-0000-4000-8000-000000000000"),
                two_ops.line("norm", 2, "cccccccc-0000-4000-8000-000000000000"),
            )
        ),
    )
    args = [f"--fib-solution={two_ops.solution(name, 'norm')}" for name in ("s", "t")]
    result = pytester.runpytest(*args)
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(["*norm.jsonl:2: *", "*norm.jsonl:3: *'other'*'norm'*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_broken_definition_is_a_collection_error_of_its_file_only(pytester, two_ops: Project) -> None:
    args = [f"--fib-solution={two_ops.solution(*pair)}" for pair in (("s", "norm"), ("m", "moe_fp8_x"))]
    two_ops.write("tracesets/one/definitions/op/norm.json", "{")
    result = pytester.runpytest(*args, "--continue-on-collection-errors")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR collecting*norm.jsonl*", "*norm.json*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_items_point_at_their_line(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm", "INCORRECT_SHAPE")
    items, _ = pytester.inline_genitems(f"--fib-solution={path}")
    assert [item.reportinfo()[1] for item in items] == [0, 1, 2]
    assert items[0].location[2] == "s::batch_size1-00000001"


def test_users_fixtures_of_every_scope_work(pytester, two_ops: Project) -> None:
    path = two_ops.solution("s", "norm")
    pytester.makeconftest(
        (two_ops.root / "conftest.py").read_text()
        + """
import pytest
for scope in ("function", "class", "module", "package", "session"):
    exec(f"@pytest.fixture(autouse=True, scope={scope!r})\\ndef auto_{scope}(request): pass")
"""
    )
    pytester.runpytest(f"--fib-solution={path}").assert_outcomes(passed=3)


def test_lf_and_sw_work_on_items(pytester, two_ops: Project) -> None:
    good, bad = two_ops.solution("good", "norm"), two_ops.solution("bad", "norm", "RUNTIME_ERROR boom")
    args = [f"--fib-solution={path}" for path in (good, bad)]
    pytester.runpytest(*args).assert_outcomes(passed=3, failed=3)
    pytester.runpytest(*args, "--lf").assert_outcomes(failed=3)
    pytester.runpytest(*args, "--sw").assert_outcomes(passed=3, failed=1)
    two_ops.solution("bad", "norm", "PASSED")
    pytester.runpytest(*args, "--sw").assert_outcomes(passed=3, deselected=3)
