"""Inputs that the reference writes are judged like outputs; outputs that are optional may be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeSession
from pytest_fib.rule_lines import parse_lines

from .conftest import CONFIG, CORRECTNESS, QUICK, solution

RIGHT = """
def run(x, buffer, scale):
    buffer[::2] = x[::2] * scale
    return x + scale, x - scale
"""
PASSED_OUT = """
def run(x, buffer, scale, y, z):
    buffer[::2] = x[::2] * scale
    y.copy_(x + scale)
    z.copy_(x - scale)
"""
TENSOR = {"shape": ["rows", "h"], "dtype": "float32"}
DEFINITION = Definition.model_validate(
    {
        "name": "steps_h8",
        "op_type": "test",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 8}},
        "inputs": {"x": TENSOR, "buffer": TENSOR, "scale": {"shape": None, "dtype": "float32"}},
        "outputs": {"y": TENSOR, "z": TENSOR},
        "reference": RIGHT,
    }
)
WORKLOAD = Workload.model_validate(
    {"uuid": "u", "axes": {"rows": 5}, "inputs": {"scale": {"type": "scalar", "value": 0.5}}}
)
Judge = Callable[[str], Evaluation]
# Untimed and timed candidates are served in different ways.
SAMPLINGS = {"untimed": CORRECTNESS, "timed": QUICK}


@pytest.fixture(scope="module", params=["untimed", "timed"])
def judge(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[Judge]:
    config = replace(
        CONFIG,
        sampling=SAMPLINGS[request.param],
        cache_dir=cache_dir,
        rules=parse_lines(["steps_*: default, in_place=buffer, optional=z"]),
    )
    with JudgeSession(config) as session:
        yield lambda source: session.evaluate(DEFINITION, WORKLOAD, solution(source), None)


@pytest.mark.parametrize("source", [RIGHT, PASSED_OUT], ids=["returned", "passed"])
def test_a_solution_that_writes_what_the_reference_writes_passes(judge: Judge, source: str) -> None:
    evaluation = judge(source)
    assert (evaluation.status, evaluation.log) == (Status.PASSED, "")
    # What is remarked on the clock is the machine's doing.
    assert not [remark for remark in evaluation.remarks if not remark.startswith("not stationary")]


@pytest.mark.parametrize(
    ("wrong", "output"),
    [
        (RIGHT.replace("buffer[::2] = x[::2] * scale", "pass"), "buffer"),  # writes nothing
        (
            RIGHT.replace("buffer[::2] = x[::2] * scale", "buffer.copy_(x * scale)"),
            "buffer",
        ),  # writes too much
        (RIGHT.replace("x - scale", "x - 2 * scale"), "z"),  # optional, but given
        (RIGHT.replace("x + scale", "x + 2 * scale"), "y"),
    ],
)
def test_a_solution_that_writes_something_else_fails(judge: Judge, wrong: str, output: str) -> None:
    evaluation = judge(wrong)
    assert evaluation.status is Status.INCORRECT_NUMERICAL
    assert evaluation.mismatch is not None
    assert evaluation.mismatch.output == output


@pytest.mark.parametrize(
    "source",
    [
        RIGHT.replace(", x - scale", ""),
        RIGHT.replace("x - scale", "None"),
        RIGHT.replace("x + scale, x - scale", "{'y': x + scale}"),
        PASSED_OUT.replace("    z.copy_(x - scale)\n", ""),
    ],
)
def test_an_optional_output_may_be_left_out(judge: Judge, source: str) -> None:
    assert judge(source).status is Status.PASSED


def test_other_outputs_may_not_be_left_out(judge: Judge) -> None:
    assert judge(PASSED_OUT.replace("    y.copy_(x + scale)\n", "")).status is Status.INCORRECT_NUMERICAL
    assert judge(RIGHT.replace("x + scale, x - scale", "{'z': x - scale}")).status is Status.INCORRECT_SHAPE


def test_an_input_that_only_the_reference_writes_is_remarked_on(session: JudgeSession) -> None:
    leaves_it_alone = solution(RIGHT.replace("buffer[::2] = x[::2] * scale", "pass"))
    evaluation = session.evaluate(DEFINITION, WORKLOAD, leaves_it_alone, None)
    assert evaluation.status is Status.PASSED
    assert [remark for remark in evaluation.remarks if "the reference writes input buffer" in remark]


def test_other_inputs_may_not_be_written(judge: Judge) -> None:
    evaluation = judge(RIGHT.replace("    return", "    x.zero_()\n    return"))
    assert evaluation.status is Status.RUNTIME_ERROR
