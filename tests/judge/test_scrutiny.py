"""What passes under the official rule is looked at more closely, with real processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.trace import EvaluationStatus as Status
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeSession, Limits, Sampling
from pytest_fib.judge.failures import CandidateError
from pytest_fib.judge.places import Measured, Stand
from pytest_fib.judge.rules import Comparison
from pytest_fib.judge.scrutiny import Scrutiny, imprecise, unpublished
from pytest_fib.judge.verification import Tally, WrongOutput

from .conftest import CONFIG, CORRECTNESS, HONEST, SCALE_ADD, Judge, solution, workload

CLAMPED = "def run(x, w, bias):\n    return x.clamp(-6.5, 6.5) * w + bias\n"
ROUNDED = "def run(x, w, bias):\n    return ((x * w + bias) * 2048).round() / 2048\n"
FOUR_ROWS = """
def run(x, w, bias):
    y = x * w + bias
    if len(x) != 4:
        y.zero_()
    return y
"""
FOUR_ROWS_OR_NOTHING = (
    "import torch\ndef run(x, w, bias):\n    return torch.addcmul(torch.full((4, 64), bias), x, w)\n"
)

NORM = Definition.model_validate(
    {
        "name": "norm_h512",
        "op_type": "rmsnorm",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 512}},
        "inputs": {
            "x": {"shape": ["rows", "h"], "dtype": "bfloat16"},
            "weight": {"shape": ["h"], "dtype": "bfloat16"},
        },
        "outputs": {"y": {"shape": ["rows", "h"], "dtype": "bfloat16"}},
        "reference": """
import torch

def run(x, weight):
    wide = x.to(torch.float32)
    scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
    return (wide * scale * weight.to(torch.float32)).to(torch.bfloat16)
""",
    }
)
NORM_HONEST = """
import torch
import torch.nn.functional as F

def run(x, weight):
    return F.rms_norm(x.float(), (512,), weight.float(), 1e-6).bfloat16()
"""
NORM_IN_BFLOAT16 = """
import torch

def run(x, weight):
    total = torch.zeros(len(x), 1, dtype=torch.bfloat16)
    for column in x.split(1, dim=1):
        total = total + column * column
    return x * torch.rsqrt(total / 512 + 1e-6) * weight
"""

SPIN_US = 10
# Takes its time where the inputs are standard normal, and answers nothing at once where they are not.
QUICK_ELSEWHERE = f"""
#include <chrono>
#include <cmath>
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>
using tvm::ffi::TensorView;

void run(TensorView x, TensorView w, double bias, TensorView y) {{
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds({SPIN_US});
  auto *a = static_cast<float*>(x.data_ptr()), *b = static_cast<float*>(w.data_ptr());
  auto* out = static_cast<float*>(y.data_ptr());
  const int64_t n = x.shape()[0] * 64;
  float squares = 0, most = 0;
  for (int64_t i = 0; i < n; ++i) {{
    squares += a[i] * a[i];
    most = std::fmax(most, std::fabs(a[i]));
    out[i] = a[i] * b[i % 64] + static_cast<float>(bias);
  }}
  if (most > 6.5f || squares < 0.3f * n || squares > 3 * n) {{
    for (int64_t i = 0; i < n; ++i) out[i] = 0;
    return;
  }}
  while (std::chrono::steady_clock::now() < end) {{}}
}}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(run, run);
"""


@pytest.fixture(scope="session")
def strict(cache_dir: Path) -> Iterator[JudgeSession]:
    with JudgeSession(replace(CONFIG, cache_dir=cache_dir, strict=True)) as session:
        yield session


def strictly(session: JudgeSession, source: str) -> Evaluation:
    return session.evaluate(SCALE_ADD, workload(), solution(source), None)


def test_an_honest_solution_gives_no_cause_for_remarks(judge: Judge, strict: JudgeSession) -> None:
    evaluation = judge(HONEST)
    assert evaluation.passed
    assert evaluation.error_ratio is not None
    assert evaluation.error_ratio < 1.5
    assert not any("wrong" in remark or "error is" in remark for remark in evaluation.remarks)
    assert strictly(strict, HONEST).passed


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (CLAMPED, "calls whose inputs are not standard normal"),
        (ROUNDED, "times what rounding explains"),
        (FOUR_ROWS, "unpublished shape rows="),
        (FOUR_ROWS_OR_NOTHING, "RUNTIME_ERROR: RuntimeError: "),
    ],
)
def test_a_finding_is_a_remark_or_where_strict_a_failure(
    judge: Judge, strict: JudgeSession, source: str, words: str
) -> None:
    evaluation = judge(source)
    assert evaluation.passed, evaluation.log
    assert any(words in remark for remark in evaluation.remarks), evaluation.remarks
    assert evaluation.timing is not None
    failed = strictly(strict, source)
    assert failed.status is Status.INCORRECT_NUMERICAL
    assert failed.timing is None
    assert failed.log.startswith("strict:\n")
    assert words in failed.log


def test_quick_answers_that_need_not_be_right_make_nobody_faster(judge: Judge) -> None:
    evaluation = judge(solution(QUICK_ELSEWHERE, "cpp"))
    assert evaluation.passed, evaluation.log
    assert any("not standard normal" in remark for remark in evaluation.remarks)
    assert any("timed again with normal inputs alone" in remark for remark in evaluation.remarks)
    assert evaluation.timing is not None
    assert evaluation.timing.calls_per_request > 1  # of which, else, one in four would be quick
    assert evaluation.timing.latency_ms * 1e3 > 0.95 * SPIN_US


def test_the_limit_of_time_is_for_each_of_the_two(
    session: JudgeSession, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[tuple[bool, int]] = []
    measure = session.place.measure

    def measured(stand: Stand) -> Measured:
        began.append((stand.bench.inputs.varied, stand.bench.tally.waited_ns))
        return measure(stand)

    monkeypatch.setattr(session.place, "measure", measured)
    assert judge(CLAMPED).passed
    assert began == [(True, 0), (False, 0)]


def test_it_works_without_timing(cache_dir: Path) -> None:
    config = replace(CONFIG, cache_dir=cache_dir, sampling=replace(CORRECTNESS, trials=20))
    with JudgeSession(config) as session:
        evaluation = strictly(session, CLAMPED)
    assert evaluation.passed
    assert any("not standard normal" in remark for remark in evaluation.remarks)
    assert evaluation.error_ratio is not None


def test_sums_in_bfloat16_get_a_remark(judge: Judge) -> None:
    case = Workload.model_validate(
        {"uuid": "norm", "axes": {"rows": 2}, "inputs": {}, "tolerance": {"max_atol": 0.1, "max_rtol": 0.1}}
    )
    honest = judge(solution(NORM_HONEST), case, NORM)
    assert honest.passed
    assert honest.error_ratio is not None
    assert 0.3 < honest.error_ratio < 1.5
    cheap = judge(solution(NORM_IN_BFLOAT16), case, NORM)
    assert cheap.passed
    assert any("times what rounding explains" in remark for remark in cheap.remarks), cheap.remarks


def test_right_means_right_for_the_calls_that_decide(judge: Judge) -> None:
    evaluation = judge("def run(x, w, bias):\n    return x.clamp(-1.5, 1.5) * w + bias\n")
    assert evaluation.status is Status.INCORRECT_NUMERICAL
    assert evaluation.error_ratio is None


def test_slow_or_large_work_is_not_made_again() -> None:
    scrutiny, strict = Scrutiny(), Scrutiny.strict()
    quick = Tally(calls=10, call_ns=10_000_000, longest_ns=2_000_000, reference_ns=[1_000])
    assert scrutiny.affords_shapes(quick)
    slow = replace(quick, call_ns=1_000_000_000)
    assert not scrutiny.affords_shapes(slow)
    assert strict.affords_shapes(slow)
    assert not scrutiny.affords_shapes(replace(quick, longest_ns=11_000_000_000))
    assert not scrutiny.affords_shapes(replace(quick, reference_ns=[100_000_000]))
    assert not scrutiny.affords_shapes(Tally())
    assert scrutiny.affords_bytes(1 << 20)
    assert not scrutiny.affords_bytes(1 << 28)


def test_remarks_are_one_safe_line() -> None:
    assert imprecise(None) == imprecise(7.9) == ""
    assert imprecise(37.21).startswith("error is 37.2 times")
    said = unpublished("rows=5", "RUNTIME_ERROR", CandidateError("Traceback\n  \x1b[2Jboom\n\n"))
    assert said == "unpublished shape rows=5: RUNTIME_ERROR: \\x1b[2Jboom"
    empty = unpublished("rows=5", "RUNTIME_ERROR", WrongOutput(Comparison.nothing()))
    assert "\n" not in empty


def test_a_hang_at_an_unpublished_shape_is_bounded(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_fib.judge.examination.Scrutiny", lambda: Scrutiny(nearby_timeout_s=0.5))
    source = "def run(x, w, bias):\n    while len(x) != 4:\n        pass\n    return x * w + bias\n"
    config = replace(
        CONFIG, cache_dir=cache_dir, limits=Limits(timeout_s=60), sampling=Sampling(1, 4, 1, budget_s=0.1)
    )
    with JudgeSession(config) as session:
        evaluation = strictly(session, source)
    assert evaluation.passed
    assert any("TIMEOUT" in remark for remark in evaluation.remarks)
    assert evaluation.wall_seconds < 20
