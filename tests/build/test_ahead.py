"""Triton's kernels compiled without a device: what is found, what is remarked, what is let pass.

``compile_ahead.py`` compiles all cases in one process beside this one, a fork for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .ahead_cases import CASES

pytest.importorskip("triton")

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), os.environ.get("PYTHONPATH", ""))),
        "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton")),
    }
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, str(HERE / "compile_ahead.py")],
        input=json.dumps(CASES),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def place(case: str, text: str, file: str = "main.py") -> str:
    """File and number of the first line with ``text``."""
    lines = CASES[case]["sources"][file].splitlines()
    return f"{file}, line {next(number for number, line in enumerate(lines, 1) if text in line)}"


@pytest.mark.parametrize(
    ("case", "kernel"),
    [
        ("fine", "twice"),
        ("python", "twice"),
        ("heuristics", "guessed"),
        ("two_good_files", "outer"),
        ("specialised", "shown"),
        ("descriptor", "tiles"),
        ("asks_the_device", "twice"),
        ("default_device", "twice"),
        ("launched_for_the_third", "twice"),
    ],
)
def test_what_compiles_leaves_nothing_to_say(outcomes: dict[str, Any], case: str, kernel: str) -> None:
    assert outcomes[case] == {"error": "", "kernels": [kernel], "remarks": []}


@pytest.mark.parametrize(
    ("case", "kernel", "line", "said"),
    [
        ("name_in_a_helper", "calls_it", "value + nowhere", "NameError('nowhere is not defined')"),
        ("global_variable", "scaled", "* FACTOR", "Cannot access global variable FACTOR"),
        ("shapes_of_dot", "product", "tl.dot", "reduction dimensions"),
        ("raised_again", "twice", "tl.arange", "power of 2"),
        ("tuned_in_vain", "vain", "static_assert", "tl.static_assert(WIDTH > 32)"),
    ],
)
def test_an_error_names_the_kernel_the_line_and_what_triton_said(
    outcomes: dict[str, Any], case: str, kernel: str, line: str, said: str
) -> None:
    error = outcomes[case]["error"]
    first = f"Triton kernel {kernel} does not compile for compute capability 9.0: {place(case, line)}\n"
    assert error.startswith(first)
    assert said in error


@pytest.mark.parametrize(
    ("case", "kernel", "said"),
    [
        ("assembly", "assembled", "'bogus'"),
        ("missing_argument", "twice", "missing 1 required positional argument: 'WIDTH'"),
        ("shared_memory", "greedy", "out of resource: shared memory"),
    ],
)
def test_where_triton_names_no_line_the_kernel_and_the_launch_are_named(
    outcomes: dict[str, Any], case: str, kernel: str, said: str
) -> None:
    error = outcomes[case]["error"]
    where = f"{place(case, '@triton.jit')}, launched at {place(case, f'{kernel}[')}\n"
    assert error.startswith(f"Triton kernel {kernel} does not compile for compute capability 9.0: {where}")
    assert said in error


def test_the_line_is_in_the_file_of_the_function_that_has_the_error(outcomes: dict[str, Any]) -> None:
    error = outcomes["two_files"]["error"]
    assert error.startswith("Triton kernel outer does not compile")
    assert place("two_files", "nowhere", "parts.py") in error.splitlines()[0]


def test_the_architecture_is_what_is_asked_for(outcomes: dict[str, Any]) -> None:
    assert "for compute capability 8.0:" in outcomes["older"]["error"]


def test_of_an_autotuner_the_first_configuration_that_compiles_is_compiled(outcomes: dict[str, Any]) -> None:
    """The first of the case fails an assertion, which an autotuner passes over; the third and fourth are wrong."""
    assert outcomes["tuned"] == {"error": "", "kernels": ["tuned"], "remarks": []}


def test_what_is_read_from_the_device_is_made_up_and_remarked(outcomes: dict[str, Any]) -> None:
    for case, line in (
        ("reads", ".item()"),
        ("reads_sizes", "chosen ="),
        ("launched_for_the_first", ".item()"),
    ):
        remark = f"twice compiled with made-up values for what run reads at {place(case, line)}"
        assert outcomes[case] == {"error": "", "kernels": ["twice"], "remarks": [remark]}
    remark = f"run reads from the device at {place('reads_behind', '.item()')}, where values were made up"
    assert outcomes["reads_behind"] == {"error": "", "kernels": ["twice"], "remarks": [remark]}


def test_what_does_not_compile_with_made_up_values_is_no_failure(outcomes: dict[str, Any]) -> None:
    case = "reads_and_fails"
    remark = f"twice does not compile with made-up values for what is read at {place(case, '.tolist()')}: "
    assert outcomes[case]["error"] == ""
    assert outcomes[case]["remarks"] == [f"{remark}arange's range must be a power of 2"]


def test_who_waits_for_the_device_is_stopped(outcomes: dict[str, Any]) -> None:
    (first, second) = outcomes["waits_for_ever"]["remarks"]
    assert first.startswith("run reads from the device at")
    assert second.startswith(
        f"twice not compiled: without a device run stops at {place('waits_for_ever', 'while')}"
    )


@pytest.mark.parametrize(
    ("case", "line", "begins"),
    [
        ("stops", "x.numpy()", "twice not compiled: without a device run stops at {} (TypeError: "),
        (
            "stops_behind",
            "SystemExit",
            "without a device run stops at {} (SystemExit: enough), and what it launches",
        ),
        ("wants_the_driver", "launcher_cls", "without a device run stops at {} (DriverLacks: "),
    ],
)
def test_who_cannot_go_on_without_a_device_does_not_fail(
    outcomes: dict[str, Any], case: str, line: str, begins: str
) -> None:
    found = outcomes[case]
    assert found["error"] == ""
    (remark,) = found["remarks"]
    assert remark.startswith(begins.format(place(case, line)))


def test_a_solution_may_deal_with_a_kernel_that_does_not_compile(outcomes: dict[str, Any]) -> None:
    (remark,) = outcomes["dealt_with"]["remarks"]
    assert outcomes["dealt_with"]["error"] == ""
    assert remark.startswith("twice does not compile, which the solution deals with: ")


def test_kernels_that_are_never_launched_are_named_and_their_parts_are_not(outcomes: dict[str, Any]) -> None:
    remark = "spare not compiled: run launches no other kernel for the shapes of 1 workload"
    assert outcomes["never_launched"] == {"error": "", "kernels": ["twice"], "remarks": [remark]}
    remark = "twice not compiled: run launches no other kernel for the shapes of 3 workloads"
    assert outcomes["launched_for_none"] == {"error": "", "kernels": [], "remarks": [remark]}


def test_only_triton_has_to_have_kernels(outcomes: dict[str, Any]) -> None:
    assert outcomes["python_without_kernels"] == {"error": "", "kernels": [], "remarks": []}
    (remark,) = outcomes["triton_without_kernels"]["remarks"]
    assert remark.startswith("no Triton kernel was compiled: run launches no other kernel")
