"""Samplers as solutions, judged from end to end: what they draw is their own, and judged as a whole."""

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

from .conftest import CONFIG, CORRECTNESS, QUICK, solution

SAMPLER = """
import torch

def run(probs, top_k):
    values, order = probs.sort(dim=1, descending=True)
    values[torch.arange(probs.shape[1]) >= top_k[:, None]] = 0
    return order.gather(1, torch.multinomial(values, 1))[:, 0]
"""
DEFINITION = Definition.model_validate(
    {
        "name": "top_k_sampling_from_probs_v60",
        "op_type": "sampling",
        "axes": {"batch_size": {"type": "var"}, "v": {"type": "const", "value": 60}},
        "inputs": {
            "probs": {"shape": ["batch_size", "v"], "dtype": "float32"},
            "top_k": {"shape": ["batch_size"], "dtype": "int32"},
        },
        "outputs": {"samples": {"shape": ["batch_size"], "dtype": "int64"}},
        "reference": SAMPLER,
    }
)
Judge = Callable[[str], Evaluation]


@pytest.fixture(scope="module", params=[CORRECTNESS, QUICK], ids=["untimed", "timed"])
def judge(request: pytest.FixtureRequest, cache_dir: Path) -> Iterator[Judge]:
    with JudgeSession(replace(CONFIG, sampling=request.param, cache_dir=cache_dir)) as session:
        workload = Workload.model_validate({"uuid": "u", "axes": {"batch_size": 16}, "inputs": {}})
        yield lambda source: session.evaluate(DEFINITION, workload, solution(source), None)


def test_a_right_sampler_passes(judge: Judge) -> None:
    evaluation = judge(SAMPLER)
    assert (evaluation.status, evaluation.mismatch, evaluation.log) == (Status.PASSED, None, "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (SAMPLER.replace("    return", "    torch.manual_seed(0)\n    return"), "have the distribution"),
        (SAMPLER.replace("(values, 1)", "((values > 0).float(), 1)"), "have the distribution"),
        (SAMPLER.replace("] = 0", "] *= 1"), "outside of the support"),
        ("def run(probs, top_k):\n    return probs.argmax(dim=1)\n", "have the distribution"),
        ("def run(probs, top_k, out):\n    pass\n", "outside of the support"),
    ],
    ids=["seeded", "uniform", "unfiltered", "argmax", "empty"],
)
def test_wrong_samplers_fail(judge: Judge, wrong: str, words: str) -> None:
    evaluation = judge(wrong)
    assert evaluation.status is Status.INCORRECT_NUMERICAL
    assert evaluation.mismatch is not None
    assert words in evaluation.mismatch.problem


def test_no_two_candidates_draw_the_same(cache_dir: Path) -> None:
    """Each says what its generators give; a fork that went on with the zygote's would say what the last one said."""
    source = """
import random
import numpy, torch

print("drew", torch.rand(2).tolist(), numpy.random.rand(2).tolist(), random.random())
raise RuntimeError
"""
    with JudgeSession(replace(CONFIG, sampling=CORRECTNESS, cache_dir=cache_dir)) as session:
        workload = Workload.model_validate({"uuid": "u", "axes": {"batch_size": 1}, "inputs": {}})
        said = [
            session.evaluate(DEFINITION, workload, solution(source + f"# {attempt}"), None).output
            for attempt in range(3)
        ]
    lines = [line for output in said for line in output.splitlines() if line.startswith("drew")]
    numbers = [number for line in lines for number in line.replace("[", "").replace("]", "").split()[1:]]
    assert len(lines) == 3
    assert len(set(numbers)) == len(numbers) == 15
