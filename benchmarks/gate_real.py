"""The gate on this machine: false alarms on identical code, and how surely it finds kernels slowed by 5 and 10 %.

    python benchmarks/gate_real.py [--comparisons N] [--power N] [--out FILE]

A/A: kernels of the mini trace set in C++ and Python, from a microsecond to some milliseconds, each compared with
itself as ``--fib-aa`` does (fresh processes, interleaved, two stages). Before each comparison one process is measured
as usual tools would; what Mann-Whitney (p < 0.05) and "median > 2 %" say of it and of the one that was measured
before is printed beside.

Power: a kernel that repeats its work against the same with 5 or 10 % more time spent in repetitions; how long one
takes is calibrated by a comparison as well.

Each comparison is a line in FILE as soon as it is finished, and lines that are there count: it may be stopped and
started again, and runs until there are N of them.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import mannwhitneyu

from pytest_fib.data.definition import Definition
from pytest_fib.data.evaluation import Evaluation, Gating
from pytest_fib.data.readers import read_definition, read_solution, read_workloads
from pytest_fib.data.solution import LoadedSolution, Solution
from pytest_fib.data.workload import Workload, WorkloadLine
from pytest_fib.judge import JudgeConfig, JudgeSession, Sampling
from pytest_fib.measure import gate

ROOT = Path(__file__).resolve().parents[1]
MARGIN = 0.02
ONE_RUN = Sampling(warmup_runs=10, iterations=100, trials=1, budget_s=1.0)
SOLUTIONS = (
    "gemm/gemm_cpp",
    "gemm/gemm_python",
    "rmsnorm/rmsnorm_cpp",
    "rmsnorm/fused_add_rmsnorm_python",
    "rope/rope_cpp",
    "gdn/gdn_decode_cpp",
    "gqa_ragged/gqa_prefill_python",
    "mla_paged/mla_decode_ps16_python",
    "mamba_ssu/mamba_ssu_cpp",
)
REPEATS, MORE_REPEATS = 200, 300
EFFECTS = (0.05, 0.10)

SCALE = Definition.model_validate(
    {
        "name": "scale_n16384",
        "op_type": "bench",
        "axes": {"rows": {"type": "var"}, "n": {"type": "const", "value": 16384}},
        "inputs": {"x": {"shape": ["rows", "n"], "dtype": "float32"}},
        "outputs": {"y": {"shape": ["rows", "n"], "dtype": "float32"}},
        "reference": "def run(x):\n    return x * 2\n",
    }
)
ONE_ROW = Workload.model_validate(
    {"uuid": "one-row", "axes": {"rows": 1}, "inputs": {"x": {"type": "random"}}}
)


@dataclass(frozen=True)
class Case:
    """One kernel on one workload."""

    name: str
    definition: Definition
    workload: Workload
    loaded: LoadedSolution


def repeating(times: int) -> LoadedSolution:
    """A kernel whose time is nearly all in so many repetitions."""
    source = f"def run(x, y):\n    y.copy_(x).mul_(2)\n    for _ in range({times}):\n        y.mul_(1.0)\n"
    spec = {"language": "python", "target_hardware": ["cpu"], "entry_point": "main.py::run"}
    raw = {
        "name": f"repeats_{times}",
        "definition": SCALE.name,
        "author": "bench",
        "spec": {**spec, "destination_passing_style": True},
        "sources": [{"path": "main.py", "content": source}],
    }
    return LoadedSolution(Solution.model_validate(raw), Path("repeats.json"))


def kernels() -> Iterator[Case]:
    """Each of the solutions on the workloads of its definition."""
    for path in SOLUTIONS:
        loaded = read_solution(ROOT / "solutions" / "mini" / f"{path}.json")
        op_type, name = path.split("/")[0], loaded.solution.definition
        definition = read_definition(ROOT / "tracesets" / "mini" / "definitions" / op_type / f"{name}.json")
        lines = read_workloads(ROOT / "tracesets" / "mini" / "workloads" / op_type / f"{name}.jsonl")
        for line in lines:
            if isinstance(line, WorkloadLine):
                axes = ",".join(str(value) for value in line.workload.axes.values())
                yield Case(f"{loaded.solution.name} {axes}", definition, line.workload, loaded)


class Lab:
    """Compares, and keeps a line of each comparison."""

    def __init__(self, session: JudgeSession, out: Path) -> None:
        self.session = session
        self.out = out
        self.lines: list[dict[str, Any]] = []
        if out.exists():
            self.lines = [json.loads(line) for line in out.read_text().splitlines()]
        self.evaluations: dict[str, Evaluation] = {}

    def kind(self, kind: str) -> list[dict[str, Any]]:
        """The comparisons of one kind so far."""
        return [line for line in self.lines if line["kind"] == kind]

    def one_run(self, case: Case) -> list[float]:
        """The samples of one process, in milliseconds, as usual tools take them."""
        evaluation = self.session.evaluate(case.definition, case.workload, case.loaded, None)
        if evaluation.timing is None:
            raise SystemExit(f"{case.name} is {evaluation.status.value}: {evaluation.log}")
        self.evaluations[case.name] = evaluation
        return evaluation.timing.samples_ms

    def compare(self, kind: str, case: Case, baseline: LoadedSolution, **more: Any) -> None:
        """Compare, keep the line and print the totals."""
        if case.name not in self.evaluations:
            self.one_run(case)
        start = time.perf_counter()
        compared = self.session.compare(
            self.evaluations[case.name], case.definition, case.workload, case.loaded, None, baseline, MARGIN
        )
        gating = compared.gating
        if gating is None or gating.verdict is None:
            raise SystemExit(f"{case.name} was not compared: {gating and gating.reason} {compared.log}")
        line = {
            "kind": kind,
            "case": case.name,
            "seconds": time.perf_counter() - start,
            **facts(gating),
            **more,
        }
        self.lines.append(line)
        with self.out.open("a") as file:
            file.write(json.dumps(line) + "\n")

    @property
    def repetition(self) -> float:
        """The share of the repeating kernel's time that one repetition takes."""
        if not self.kind("calibration"):
            case = Case(f"repeats_{MORE_REPEATS}", SCALE, ONE_ROW, repeating(MORE_REPEATS))
            self.compare("calibration", case, repeating(REPEATS))
        ratio: float = self.kind("calibration")[-1]["ratio"]
        return (ratio - 1) / (MORE_REPEATS - REPEATS)


def facts(gating: Gating) -> dict[str, Any]:
    """What is kept of a comparison."""
    first = gating.stages[0]
    finding = gate.find_first(gate.log_ratios(first.candidate_ms, first.baseline_ms), 0.0)
    return {
        "verdict": gating.verdict,
        "unsteady": gating.unsteady,
        "ratio": gating.ratio,
        "ratio_ci": gating.ratio_ci,
        "scatter": gating.scatter,
        "blocks": [len(stage.candidate_ms) for stage in gating.stages],
        "stages": [(stage.candidate_ms, stage.baseline_ms) for stage in gating.stages],
        "first_at_zero": finding.verdict == "SLOWER",
        "latency_ms": gating.latency_ms,
    }


def usual_rules(before: list[float], now: list[float]) -> dict[str, bool]:
    """What usual rules say of two runs, one after the other."""
    return {
        "mann_whitney": bool(mannwhitneyu(now, before, alternative="greater").pvalue < 0.05),
        "median": statistics.median(now) > (1 + MARGIN) * statistics.median(before),
    }


def false_alarms(lab: Lab, wanted: int) -> None:
    """Compare kernels with themselves until there are enough comparisons."""
    cases = list(kernels())
    before: dict[str, list[float]] = {}
    while len(lab.kind("aa")) < wanted:
        case = cases[len(lab.kind("aa")) % len(cases)]
        earlier = before.get(case.name) or lab.one_run(case)
        before[case.name] = lab.one_run(case)
        lab.compare("aa", case, case.loaded, **usual_rules(earlier, before[case.name]))
        print(f"  {lab.lines[-1]['case']:40} {totals(lab.kind('aa'))}", flush=True)


def find_slowed(lab: Lab, wanted: int) -> None:
    """Compare slowed kernels with the plain one until there are enough comparisons of each."""
    for effect in EFFECTS:
        kind = f"+{effect:.0%}"
        while len(lab.kind(kind)) < wanted:
            times = REPEATS + round(effect / lab.repetition)
            case = Case(f"repeats_{times}", SCALE, ONE_ROW, repeating(times))
            lab.compare(kind, case, repeating(REPEATS), repeats=times)
            lines = lab.kind(kind)
            found = sum(line["verdict"] == "SLOWER" for line in lines)
            print(f"  {kind}: SLOWER in {found} of {len(lines)}, {spread(lines)}", flush=True)


def totals(lines: list[dict[str, Any]]) -> str:
    """The rates of alarms over the comparisons of identical code."""
    count = len(lines)
    rates = {
        "SLOWER": sum(line["verdict"] == "SLOWER" for line in lines),
        "UNSTEADY": sum(line["unsteady"] for line in lines),
        "first stage at margin 0": sum(line["first_at_zero"] for line in lines),
        "Mann-Whitney": sum(line["mann_whitney"] for line in lines),
        "median > 2 %": sum(line["median"] for line in lines),
    }
    return f"of {count}: " + ", ".join(f"{name} {rate} ({rate / count:.1%})" for name, rate in rates.items())


def spread(lines: list[dict[str, Any]]) -> str:
    """Ratios, blocks and seconds of comparisons."""
    blocks = [sum(line["blocks"]) for line in lines]
    seconds = [line["seconds"] for line in lines]
    return (
        f"ratio {statistics.median(line['ratio'] for line in lines):.3f}, "
        f"scatter {statistics.median(line['scatter'] for line in lines):.1%}, "
        f"blocks {min(blocks)} to {max(blocks)}, {statistics.median(seconds):.1f} s (worst {max(seconds):.1f})"
    )


def main() -> None:
    """Compare until there are enough comparisons, then print what they show."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--comparisons", type=int, default=300, help="of identical code (default: 300)")
    parser.add_argument("--power", type=int, default=60, help="of each slowed kernel (default: 60)")
    parser.add_argument("--out", type=Path, default=Path("gate_real.jsonl"), help="default: gate_real.jsonl")
    given = parser.parse_args()
    config = JudgeConfig(secret=secrets.token_bytes(32), sampling=ONE_RUN)
    with JudgeSession(config) as session:
        lab = Lab(session, given.out)
        false_alarms(lab, given.comparisons)
        find_slowed(lab, given.power)
    print()
    if lab.kind("aa"):
        print_cases(lab.kind("aa"))
        print(f"\nidentical code, {totals(lab.kind('aa'))}; {spread(lab.kind('aa'))}")
    for effect in EFFECTS:
        lines = lab.kind(f"+{effect:.0%}")
        if lines:
            found = sum(line["verdict"] == "SLOWER" for line in lines)
            share = f"{found} of {len(lines)} ({found / len(lines):.0%})"
            print(f"slowed by {effect:.0%}: SLOWER in {share}; {spread(lines)}")


def print_cases(lines: list[dict[str, Any]]) -> None:
    """Print what the comparisons of each kernel with itself show."""
    print(
        f"{'identical code':42}{'latency':>9}{'scatter':>9}{'blocks':>8}{'seconds':>9}{'SAME':>6}{'AMBIGUOUS':>11}"
    )
    for name in dict.fromkeys(line["case"] for line in lines):
        mine = [line for line in lines if line["case"] == name]
        latency, scatter, blocks, seconds = (
            statistics.median(values)
            for values in (
                [line["latency_ms"] * 1e3 for line in mine],
                [line["scatter"] for line in mine],
                [line["blocks"][0] for line in mine],
                [line["seconds"] for line in mine],
            )
        )
        said = [line["verdict"] for line in mine]
        print(
            f"{name:42}{latency:>6.1f} µs{scatter:>9.1%}{blocks:>8.0f}{seconds:>9.1f}"
            f"{said.count('SAME'):>6}{said.count('AMBIGUOUS'):>11}"
        )


if __name__ == "__main__":
    main()
