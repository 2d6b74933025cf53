from __future__ import annotations

from types import ModuleType

import pytest

from pytest_fib.report.scores import score_rows


def test_scores_are_per_solution_and_definition(synthetic: ModuleType) -> None:
    records = [
        synthetic.record(timing=synthetic.timing(0.01, 0.04)),
        synthetic.record(timing=synthetic.timing(0.01, 0.01)),
        synthetic.record("TIMEOUT"),
        synthetic.record(solution_hash="cd" * 32, solution="other", timing=synthetic.timing(0.01, 0.02)),
    ]
    first, second = score_rows(records)
    assert (first["workloads"], first["passed"]) == (3, 2)
    assert first["arithmetic_mean_speedup"] == pytest.approx(2.5)
    assert first["geometric_mean_speedup"] == pytest.approx(2.0)
    assert first["win_rate"] == pytest.approx(1 / 3)
    assert second["solution"] == "other"
    assert second["win_rate"] == 1.0


def test_nothing_passed_has_no_mean(synthetic: ModuleType) -> None:
    (score,) = score_rows([synthetic.record("TIMEOUT")])
    assert (score["arithmetic_mean_speedup"], score["geometric_mean_speedup"]) == (None, None)
