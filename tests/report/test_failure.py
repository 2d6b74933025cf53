from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.data.evaluation import Gating, Stage
from pytest_fib.report.failure import (
    HEAD_LINES,
    LINE_LIMIT,
    TAIL_LINES,
    failure_text,
    first_time,
    gate_text,
    log_text,
)

COMMAND = "pytest --fib-solution=v1.json 'rmsnorm_h128.jsonl::v1::w'"


def test_wrong_elements_in_the_promised_order(synthetic: ModuleType) -> None:
    found = synthetic.evaluation(
        "INCORRECT_NUMERICAL",
        mismatch=synthetic.mismatch(),
        log="Traceback:\n\tValueError: x",
        max_absolute_error=0.07,
        max_relative_error=1.5,
        verified_calls=34,
    )
    assert failure_text(found, command=COMMAND).splitlines() == [
        "INCORRECT_NUMERICAL: triton_v1 on rmsnorm_h128, "
        "workload 33bf737d-0000-4000-8000-000000000000 (batch_size=7)",
        "output 'y', call 3: elements out of tolerance",
        "  12 of 896 elements are out: 98.66 % match, 100 % must (an element is out if abs > 0.01 and rel > 0.02)",
        "  worst element: [3, 17], expected 0.4312, got 0.5012, its absolute error 0.07, its relative error 0.1623",
        "  largest over all 34 verified calls: absolute error 7.0e-02, relative error 1.5e+00 "
        "(finite elements; table: worst abs/rel)",
        "  tolerances: atol 0.01, rtol 0.02",
        "  Traceback:",
        "      ValueError: x",
        "to reproduce (inputs are drawn anew; --fib-seed=N fixes them):",
        f"  {COMMAND}",
    ]


def test_one_verified_call_is_not_called_all_calls(synthetic: ModuleType) -> None:
    errors = {"max_absolute_error": 0.07, "max_relative_error": 1.5, "verified_calls": 1}
    found = synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=synthetic.mismatch(), **errors)
    assert "  largest over the verified call: absolute" in failure_text(found, command=COMMAND)


@pytest.mark.parametrize(
    ("status", "changes"),
    [("RUNTIME_ERROR", {"predictable_inputs": True, "seed": 7}), ("COMPILE_ERROR", {})],
)
def test_inputs_are_not_mentioned_where_they_are_the_same_again_or_do_not_matter(
    synthetic: ModuleType, status: str, changes: dict[str, object]
) -> None:
    text = failure_text(synthetic.evaluation(status, **changes), command=COMMAND)
    assert f"to reproduce:\n  {COMMAND}" in text


def test_the_only_element_of_a_scalar_output_has_an_empty_index(synthetic: ModuleType) -> None:
    found = synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=synthetic.mismatch(index=()))
    assert "worst element: [], expected" in failure_text(found, command=COMMAND)


def test_unknown_parts_of_a_mismatch_are_left_out(synthetic: ModuleType) -> None:
    nothing = dict.fromkeys(("index", "expected", "got", "absolute_error", "relative_error"))
    found = synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=synthetic.mismatch(**nothing))
    text = failure_text(found, command=COMMAND)
    assert "worst element" not in text
    assert "None" not in text


def test_the_largest_errors_are_left_out_where_nothing_was_compared(synthetic: ModuleType) -> None:
    found = synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=synthetic.mismatch())
    assert "largest" not in failure_text(found, command=COMMAND)


def test_nan_and_infinity_are_shown(synthetic: ModuleType) -> None:
    wrong = synthetic.mismatch(expected=float("-inf"), got=float("nan"), absolute_error=float("nan"))
    text = failure_text(synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=wrong), command=COMMAND)
    assert "expected -inf, got nan, its absolute error nan" in text


def test_one_wrong_element_of_many_is_not_rounded_away(synthetic: ModuleType) -> None:
    wrong = synthetic.mismatch(failed=1, total=10**9, matched_ratio=1 - 1e-9)
    text = failure_text(synthetic.evaluation("INCORRECT_NUMERICAL", mismatch=wrong), command=COMMAND)
    assert "below 100 % match, 100 % must" in text


def test_a_compile_error_is_full_once_and_then_one_line(synthetic: ModuleType) -> None:
    log = "compiling main.cpp\nmain.cpp:3:1: error: expected ';'\nninja: stopped"
    found = synthetic.evaluation("COMPILE_ERROR", log=log)
    assert "ninja: stopped" in failure_text(found, command=COMMAND)
    text = failure_text(found, command=COMMAND, shown_before=True)
    assert text.splitlines() == [
        "COMPILE_ERROR: triton_v1 does not build (the full output is shown at its first item): "
        "main.cpp:3:1: error: expected ';'"
    ]


def test_only_a_compile_error_is_shortened(synthetic: ModuleType) -> None:
    found = synthetic.evaluation("RUNTIME_ERROR", log="integrity: late write\ndetail")
    text = failure_text(found, command=COMMAND, shown_before=True)
    assert text.startswith("RUNTIME_ERROR: ")
    assert "  integrity: late write\n  detail" in text


def test_a_long_log_keeps_head_and_tail() -> None:
    lines = [f"line {i}" for i in range(1000)]
    shown = log_text("\n".join(lines)).splitlines()
    assert len(shown) == HEAD_LINES + TAIL_LINES + 1
    assert shown[0] == "  line 0"
    assert shown[-1] == "  line 999"
    assert shown[HEAD_LINES] == "  [800 lines left out]"


@given(st.text(alphabet=st.characters(codec=None), max_size=2000))
def test_no_log_reaches_the_terminal_unescaped(log: str) -> None:
    lines = log_text(log).split("\n")
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= LINE_LIMIT + 2 for line in lines)


@given(st.text(alphabet=st.characters(codec=None), min_size=1))
def test_no_name_reaches_the_terminal_unescaped(synthetic: ModuleType, name: str) -> None:
    found = synthetic.evaluation(
        "INCORRECT_NUMERICAL",
        definition=name,
        solution=name,
        workload=name,
        axes={name: 1},
        mismatch=synthetic.mismatch(output=name, problem=name, rule=name),
    )
    text = failure_text(found, command=name)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.split("\n")) == 7


def test_noise_of_its_own_is_named(synthetic: ModuleType) -> None:
    blocks = tuple(math.exp(0.3 * (-1) ** index) for index in range(25))
    stage = Stage(blocks, (1.0,) * 25)
    gating = Gating(
        "old",
        0.02,
        "AMBIGUOUS",
        ratio=1.0,
        ratio_ci=(0.9, 1.1),
        latency_ms=1.0,
        baseline_latency_ms=1.0,
        stages=(stage, stage),
        scatter=0.3,
    )
    text = gate_text(synthetic.evaluation(), replace(gating, unsteady=True), command="pytest")
    assert text.startswith("UNSTEADY: triton_v1 on rmsnorm_h128")
    assert "seen in 25 pairs of fresh processes, and again in 25 others" in text
    assert "its blocks scatter several times as much as those of the baseline" in text
    assert gate_text(synthetic.evaluation(), gating, command="pytest").startswith("AMBIGUOUS: ")


def test_first_time_is_true_once_in_all_processes_of_a_run(tmp_path: Path) -> None:
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(first_time(tmp_path, "k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]
    assert first_time(tmp_path, "another")


@pytest.mark.parametrize("key", ["../../escape", "\x00", "x" * 5000, "\udc80"])
def test_any_key_stays_in_the_folder(tmp_path: Path, key: str) -> None:
    assert first_time(tmp_path, key)
    assert not first_time(tmp_path, key)
    assert len(list(tmp_path.iterdir())) == 1
