"""Shapes on the border: those that the reference has no answer to, and those without a single element."""

from __future__ import annotations

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeSession

from .conftest import SCALE_ADD, Judge, solution, workload

PAGES = Definition.model_validate(
    {
        "name": "pages",
        "op_type": "gqa_paged",
        "axes": {
            name: {"type": "var"} for name in ("batch_size", "len_indptr", "num_pages", "num_kv_indices")
        },
        "inputs": {
            "q": {"shape": ["batch_size", 2, 4], "dtype": "float32"},
            "k_cache": {"shape": ["num_pages", 1, 2, 4], "dtype": "float32"},
            "kv_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
            "kv_indices": {"shape": ["num_kv_indices"], "dtype": "int32"},
        },
        "outputs": {"y": {"shape": ["batch_size", 2, 4], "dtype": "float32"}},
        "reference": "def run(q, k_cache, kv_indptr, kv_indices):\n    return q * 2\n",
    }
)


@pytest.mark.parametrize(
    ("body", "answers"),
    [
        ("x * w", True),
        ("x / 0 * x.sign()", True),  # infinite: lse is, where there are no keys
        ("x / 0 * 0", False),
        ("x[5]", False),
        ("x.view(7)", False),
    ],
)
def test_a_reference_answers_unless_it_raises_or_returns_nan(
    session: JudgeSession, body: str, answers: bool
) -> None:
    definition = SCALE_ADD.model_copy(update={"reference": f"def run(x, w, bias):\n    return {body}\n"})
    assert session.answers(definition, workload(), None) is answers


def test_inputs_without_elements_that_a_candidate_may_write_are_judged(judge: Judge) -> None:
    axes = {"batch_size": 2, "len_indptr": 3, "num_pages": 1, "num_kv_indices": 0}
    like_triton = "def run(q, k_cache, kv_indptr, kv_indices):\n    return q * 2  # as triton would\n"
    evaluation = judge(solution(like_triton), Workload(axes=axes, inputs={}, uuid="none"), PAGES)
    assert evaluation.passed, evaluation.log
