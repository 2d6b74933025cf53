"""Our verdict on python solutions is the official evaluator's, but for differences that docs/judging.md lists.

The official evaluators run in this process, on the CPU, with the parts stubbed that need a GPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload
from pytest_fib.judge import JudgeConfig, JudgeSession, Limits, Sampling

official_data: Any = pytest.importorskip("flashinfer_bench.data")

PASSED, NUMERICAL = "PASSED", "INCORRECT_NUMERICAL"
SHAPE, DTYPE, RUNTIME = "INCORRECT_SHAPE", "INCORRECT_DTYPE", "RUNTIME_ERROR"
ROWS = {"shape": ["rows", "h"], "dtype": "float32"}


def definition(name: str, outputs: dict[str, Any], reference: str, op_type: str = "test") -> Definition:
    return Definition.model_validate(
        {
            "name": name,
            "op_type": op_type,
            "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 40}},
            "inputs": {"x": ROWS, "w": {"shape": ["h"], "dtype": "float32"}},
            "outputs": outputs,
            "reference": f"import torch\n\ndef run(x, w):\n    {reference}\n",
        }
    )


ONE = definition("affine_h40", {"y": ROWS}, "return x * 4 + w")
TWO = definition(
    "affine_and_sum_h40",
    {"y": ROWS | {"dtype": "bfloat16"}, "total": {"shape": ["rows"], "dtype": "float32"}},
    "return (x * 4 + w).to(torch.bfloat16), x.sum(dim=1)",
)
LOW_BIT = definition("moe_fp8_block_scale_h40", {"y": ROWS}, "return x * 4 + w", "moe")
INFINITE = definition("log_h40", {"y": ROWS}, "return torch.where(x > 0, x, float('-inf'))")
UNDEFINED = definition("root_h40", {"y": ROWS}, "return torch.where(x > 0, x, float('nan'))")


SAMPLES = {"samples": {"shape": ["rows"], "dtype": "int64"}}
TOP_K = Definition.model_validate(
    {
        "name": "top_k_sampling_from_probs_v40",
        "op_type": "sampling",
        "axes": {"rows": {"type": "var"}, "h": {"type": "const", "value": 40}},
        "inputs": {"probs": ROWS, "top_k": {"shape": ["rows"], "dtype": "int32"}},
        "outputs": SAMPLES,
        "reference": """
import torch

def run(probs, top_k):
    order = probs.argsort(dim=1, descending=True)
    cut = ((top_k > 0) & (top_k < probs.shape[1]))[:, None] & (torch.arange(probs.shape[1]) >= top_k[:, None])
    kept = probs.gather(1, order).masked_fill(cut, 0)
    return order.gather(1, torch.multinomial(kept, 1))[:, 0]
""",
    }
)
FILTERED = (
    TOP_K.reference.split("def run(probs, top_k):\n")[1].replace("    ", "").strip().replace("\n", "; ")
)


@dataclass(frozen=True)
class Case:
    """A solution (the body of its function), and what becomes of it: officially, and with us if that differs."""

    subject: Definition
    name: str
    body: str
    official: str
    ours: str = ""
    passes_outputs: bool = False

    @property
    def source(self) -> str:
        names = [*self.subject.inputs, *(self.subject.outputs if self.passes_outputs else ())]
        lines = "".join(f"    {line}\n" for line in self.body.split("; "))
        return f"import torch\n\ndef run({', '.join(names)}):\n{lines}"

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.name}"


SAME = [
    Case(ONE, "right", "return x * 4 + w", PASSED),
    Case(ONE, "right_in_float64", "return (x.double() * 4 + w.double()).float()", PASSED),
    Case(ONE, "right_not_contiguous", "return (x.T * 4 + w[:, None]).T", PASSED),
    Case(ONE, "right_in_a_tuple", "return (x * 4 + w,)", PASSED),
    Case(ONE, "right_into_outputs", "y.copy_(x * 4 + w)", PASSED, passes_outputs=True),
    Case(ONE, "half_of_the_tolerance", "return (x * 4 + w) * 1.005", PASSED),
    Case(ONE, "below_the_absolute_tolerance", "return x * 4 + w + 0.009", PASSED),
    Case(ONE, "twice_the_tolerance", "return (x * 4 + w) * 1.02", NUMERICAL),
    Case(
        ONE, "twice_the_tolerance_into_outputs", "y.copy_((x * 4 + w) * 1.02)", NUMERICAL, passes_outputs=True
    ),
    Case(ONE, "in_bfloat16", "return (x * 4 + w).bfloat16().float()", PASSED),
    Case(ONE, "one_element", "y = x * 4 + w; y[0, 0] += 1000; return y", NUMERICAL),
    Case(ONE, "last_row_missing", "y = x * 4 + w; y[-1] = 0; return y", NUMERICAL),
    Case(ONE, "half_of_it", "y = torch.zeros_like(x); y[:3] = x[:3] * 4 + w; return y", NUMERICAL),
    Case(ONE, "zeros", "return torch.zeros_like(x)", NUMERICAL),
    Case(ONE, "one_nan", "y = x * 4 + w; y[1, 1] = float('nan'); return y", NUMERICAL),
    Case(ONE, "one_infinity", "y = x * 4 + w; y[1, 1] = float('inf'); return y", NUMERICAL),
    Case(ONE, "all_nan_into_outputs", "y.fill_(float('nan'))", NUMERICAL, passes_outputs=True),
    Case(ONE, "flat", "return (x * 4 + w).flatten()", SHAPE),
    Case(ONE, "one_row_too_few", "return (x * 4 + w)[1:]", SHAPE),
    Case(ONE, "one_dimension_too_many", "return (x * 4 + w)[None]", SHAPE),
    Case(ONE, "a_number", "return 1.0", SHAPE),
    Case(ONE, "float64", "return (x * 4 + w).double()", DTYPE),
    Case(ONE, "bfloat16", "return (x * 4 + w).bfloat16()", DTYPE),
    Case(ONE, "shape_before_dtype", "return (x * 4 + w).double().flatten()", SHAPE),
    Case(ONE, "dtype_before_values", "return x.double()", DTYPE),
    Case(ONE, "raises", "raise ValueError('no')", RUNTIME),
    Case(ONE, "wrong_name", "return x * 4 + v", RUNTIME),
    Case(TWO, "right", "return (x * 4 + w).to(torch.bfloat16), x.sum(dim=1)", PASSED),
    Case(TWO, "right_in_a_list", "return [(x * 4 + w).to(torch.bfloat16), x.sum(dim=1)]", PASSED),
    Case(TWO, "second_wrong", "return (x * 4 + w).to(torch.bfloat16), x.sum(dim=1) + 1", NUMERICAL),
    Case(TWO, "first_wrong", "return (x * 5 + w).to(torch.bfloat16), x.sum(dim=1)", NUMERICAL),
    Case(TWO, "second_of_wrong_shape", "return (x * 4 + w).to(torch.bfloat16), x.sum()", SHAPE),
    Case(TWO, "first_of_wrong_dtype", "return x * 4 + w, x.sum(dim=1)", DTYPE),
    Case(
        TWO,
        "right_into_outputs",
        "y.copy_(x * 4 + w); total.copy_(x.sum(dim=1))",
        PASSED,
        passes_outputs=True,
    ),
    Case(LOW_BIT, "right", "return x * 4 + w", PASSED),
    Case(LOW_BIT, "one_element_of_forty", "y = x * 4 + w; y[:, 0] *= 0.5; return y", PASSED),
    Case(LOW_BIT, "four_elements_of_forty", "y = x * 4 + w; y[:, :4] *= 0.5; return y", NUMERICAL),
    Case(LOW_BIT, "one_nan", "y = x * 4 + w; y[0, 0] = float('nan'); return y", NUMERICAL),
    Case(TOP_K, "right", FILTERED, PASSED),
    Case(TOP_K, "uniform", FILTERED.replace("(kept, 1)", "((kept > 0).float() ** 0, 1)"), NUMERICAL),
    Case(TOP_K, "argmax", "return probs.argmax(dim=1)", NUMERICAL),
    Case(TOP_K, "out_of_range", "return probs.argmax(dim=1) + 40", NUMERICAL),
    Case(TOP_K, "negative", "return probs.argmax(dim=1) - 40", NUMERICAL),
    Case(UNDEFINED, "nan_elsewhere", "return torch.where(x > 0, float('nan'), x)", NUMERICAL),
]
DIFFERENT = [
    # The reference has the same infinity or NaN.
    Case(INFINITE, "right", "return torch.where(x > 0, x, float('-inf'))", NUMERICAL, PASSED),
    Case(UNDEFINED, "right", "return torch.where(x > 0, x, float('nan'))", NUMERICAL, PASSED),
    # Anything finite counts as right where the reference is not.
    Case(INFINITE, "anything", "return torch.where(x > 0, x, 123.0)", PASSED, NUMERICAL),
    Case(UNDEFINED, "anything", "return torch.where(x > 0, x, 123.0)", PASSED, NUMERICAL),
    # A ratio lets elements differ, but not by anything.
    Case(LOW_BIT, "nonsense", "y = x * 4 + w; y[:, 0] = 1e30; return y", PASSED, NUMERICAL),
    # Inputs are the solution's to write.
    Case(ONE, "writes_an_input", "y = x * 4 + w; x.zero_(); return y", PASSED, RUNTIME),
    # Values by name are a convention of references.
    Case(ONE, "right_in_a_dict", "return {'y': x * 4 + w}", RUNTIME, PASSED),
    # Samplers have to draw anew, and as one row does not say how another is drawn.
    Case(TOP_K, "same_seed", "torch.manual_seed(0); " + FILTERED, PASSED, NUMERICAL),
    # Samples have a dtype too.
    Case(TOP_K, "int32", FILTERED + ".int()", PASSED, DTYPE),
    # The number of values is part of their shape.
    Case(ONE, "nothing", "pass", RUNTIME, SHAPE),
    Case(ONE, "too_many", "return x * 4 + w, x", RUNTIME, SHAPE),
    Case(TWO, "too_few", "return (x * 4 + w).to(torch.bfloat16)", RUNTIME, SHAPE),
]

Judge = Callable[[Case], str]


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judge:
    """The official evaluator's status."""
    testing = ModuleType("flashinfer.testing")
    testing.__dict__["bench_gpu_time_with_cupti"] = lambda *args, **more: [1.0]
    monkeypatch.setitem(sys.modules, "flashinfer", ModuleType("flashinfer"))
    monkeypatch.setitem(sys.modules, "flashinfer.testing", testing)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *args: None)
    monkeypatch.setenv("FIB_CACHE_PATH", str(tmp_path / "cache"))
    from flashinfer_bench.bench.config import BenchmarkConfig
    from flashinfer_bench.bench.evaluators import resolve_evaluator, sampling
    from flashinfer_bench.compile import BuilderRegistry

    # Half a million draws per row, read one by one, take minutes.
    fewer = partial(sampling._sample_token_distributions)
    monkeypatch.setattr(
        sampling, "_sample_token_distributions", lambda *args, num_trials: fewer(*args, num_trials=20_000)
    )

    def judge(case: Case) -> str:
        subject = official_data.Definition.model_validate_json(case.subject.to_json())
        work = official_data.Workload.model_validate(workload(case.subject).model_dump(exclude={"tolerance"}))
        config = BenchmarkConfig(profile_baseline=False, log_dir=str(tmp_path / "logs"))
        evaluator = resolve_evaluator(subject)
        registry = BuilderRegistry.get_instance()
        runnable = registry.build(
            subject, official_data.Solution.model_validate_json(solution(case).to_json())
        )
        try:
            baseline = evaluator.build_baseline(subject, work, config, "cpu")
            _, failed = evaluator.check_correctness(
                subject, runnable, baseline.inputs, baseline.outputs, config, "", "cpu"
            )
        finally:
            registry.cleanup()
        return PASSED if failed is None else failed.status.value

    return judge


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judge]:
    """Our judge's status."""
    config = JudgeConfig(
        secret=b"s" * 32,
        limits=Limits(timeout_s=60, memory_bytes=1 << 30),
        sampling=Sampling(trials=3, timing=False),
        cache_dir=tmp_path_factory.mktemp("cache"),
    )
    with JudgeSession(config) as session:

        def judge(case: Case) -> str:
            loaded = LoadedSolution(solution(case), Path("s.json"))
            return session.evaluate(case.subject, workload(case.subject), loaded, None).status.value

        yield judge


def workload(subject: Definition) -> Workload:
    axes = dict.fromkeys((name for name, axis in subject.axes.items() if axis.type == "var"), 6)
    inputs: dict[str, Any] = {name: {"type": "random"} for name in subject.inputs}
    return Workload.model_validate({"uuid": "u", "axes": axes, "inputs": inputs})


def solution(case: Case) -> Solution:
    spec = {
        "language": "python",
        "target_hardware": ["cpu"],
        "entry_point": "main.py::run",
        "destination_passing_style": case.passes_outputs,
    }
    sources = [{"path": "main.py", "content": case.source}]
    names = {"name": case.name, "definition": case.subject.name, "author": "tests"}
    return Solution.model_validate({**names, "spec": spec, "sources": sources})


@pytest.mark.parametrize("case", SAME, ids=str)
def test_verdicts_are_the_official_ones(case: Case, official: Judge, ours: Judge) -> None:
    assert (official(case), ours(case)) == (case.official, case.official)


@pytest.mark.parametrize("case", DIFFERENT, ids=str)
def test_differences_are_those_that_are_listed(case: Case, official: Judge, ours: Judge) -> None:
    assert (official(case), ours(case)) == (case.official, case.ours)
