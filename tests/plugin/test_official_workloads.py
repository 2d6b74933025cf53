"""All real workloads of the official dataset and of the contest collect; each says whether it can be judged here."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {"official": 663, "contest": 324}
SOURCE = "def run(*inputs):\n    raise NotImplementedError\n"

# Does what the judge does before it starts a candidate, and draws the inputs that are not bulky.
PLANNING_JUDGE = """
from pytest_fib.data.evaluation import Evaluation
from pytest_fib.data.trace import EvaluationStatus
from pytest_fib.errors import NotJudgeable
from pytest_fib.inputs import Pool, plan_inputs
from pytest_fib.judge.orders import check_supported
from pytest_fib.judge.reference import Reference
from pytest_fib.judges import JUDGE_FACTORY

SMALL = 1 << 20

class PlanningJudge:
    def __init__(self, config):
        self.config = config
        self.pool = Pool(config.secret)

    def evaluate(self, definition, workload, loaded, traceset_root):
        check_supported(definition, loaded.solution)
        plan = plan_inputs(
            definition, workload, traceset_root=traceset_root, secret=self.config.secret,
            synthesize_missing=self.config.synthesize_missing, pool=self.pool,
        )
        Reference(definition)
        if 2 * plan.nbytes > self.config.limits.input_bytes:
            raise NotJudgeable("too large for this machine")
        plan.draw(0, only=[name for name, layout in plan.tensors.items() if layout.nbytes < SMALL])
        return Evaluation(
            definition=definition.name, op_type=definition.op_type, workload=workload.uuid,
            axes=dict(workload.axes), solution=loaded.solution.name,
            solution_hash=loaded.solution.content_hash, status=EvaluationStatus.PASSED,
            timestamp="2026-01-01T00:00:00+00:00", log="", output="", timing=None,
        )

    def close(self):
        pass

def pytest_configure(config):
    config.stash[JUDGE_FACTORY] = PlanningJudge
"""


@pytest.fixture(scope="module")
def datasets(
    tmp_path_factory: pytest.TempPathFactory, generate: ModuleType, shared_dataset: Path
) -> list[Path]:
    """The real workloads with the official interfaces, to which the references are ours."""
    roots = []
    for group in GROUPS:
        root = tmp_path_factory.mktemp(group)
        for workloads in (shared_dataset / group / "workloads").glob("*/*.jsonl"):
            place = Path(workloads.parent.name) / f"{workloads.stem}.json"
            interface = json.loads((shared_dataset / "interfaces" / place).read_text())
            path = root / "definitions" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(generate.definition_for_interface(interface)))
        shutil.copytree(shared_dataset / group / "workloads", root / "workloads")
        roots.append(root)
    return roots


@pytest.fixture
def arguments(pytester: pytest.Pytester, datasets: list[Path], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line that names one solution of every definition."""
    monkeypatch.delenv("FIB_DATASET_PATH", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makeini("[pytest]\n")
    pytester.makeconftest(PLANNING_JUDGE)
    names = {path.stem for root in datasets for path in root.glob("definitions/*/*.json")}
    for name in names:
        solution = {
            "name": f"{name}_s",
            "definition": name,
            "author": "somebody",
            "spec": {
                "language": "python",
                "target_hardware": ["cpu"],
                "entry_point": "main.py::run",
                "destination_passing_style": False,
            },
            "sources": [{"path": "main.py", "content": SOURCE}],
        }
        (pytester.path / f"{name}.json").write_text(json.dumps(solution))
    tracesets = [f"--fib-traceset={root}" for root in datasets]
    return [*tracesets, *(f"--fib-solution={name}.json" for name in sorted(names))]


def skips(result: pytest.RunResult) -> list[str]:
    """Why items were skipped, once for each item."""
    reasons = []
    for line in result.outlines:
        if line.startswith("SKIPPED ["):
            count, _, rest = line.removeprefix("SKIPPED [").partition("] ")
            reasons += [rest.partition(": ")[2]] * int(count)
    return reasons


def test_all_real_workloads_collect(pytester: pytest.Pytester, arguments: list[str]) -> None:
    result = pytester.runpytest("--collect-only", "-q", *arguments)
    items = [line for line in result.outlines if "::" in line]
    assert len(items) == len(set(items)) == sum(GROUPS.values()) == 987
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*ERROR*")
    result.stdout.no_fnmatch_line("*bad-line*")


def test_real_workloads_without_their_tensors_are_skips_that_name_the_file(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    result = pytester.runpytest("-q", "-rs", "--fib-no-timing", *arguments)
    result.assert_outcomes(passed=356, skipped=631)  # gemm and rmsnorm name no tensors
    assert result.ret == pytest.ExitCode.OK
    assert len(skips(result)) == 631
    for reason in skips(result):
        assert re.match(r"captured tensors are not in .*--fib-synthesize-missing", reason)


def test_stand_ins_make_all_real_workloads_judgeable_but_two_that_are_broken(
    pytester: pytest.Pytester, arguments: list[str]
) -> None:
    result = pytester.runpytest("-q", "-rs", "--fib-no-timing", "--fib-synthesize-missing", *arguments)
    result.assert_outcomes(passed=985, skipped=2)
    assert result.ret == pytest.ExitCode.OK
    assert len(skips(result)) == 2
    for reason in skips(result):
        assert re.search("no valid inputs: 1 sequences cannot hold 2 different pages each out of 0", reason)


def test_a_small_solution_passes_on_real_workloads(
    pytester: pytest.Pytester, datasets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    solution = ROOT / "solutions" / "mini" / "rmsnorm" / "rmsnorm_python.json"
    result = pytester.runpytest_subprocess(
        f"--fib-solution={solution}",
        f"--fib-traceset={datasets[0]}",
        "--fib-no-timing",
        *("-k", "batch_size24 or batch_size32 or batch_size256"),
        *("-p", "no:cacheprovider"),
    )
    result.assert_outcomes(passed=3, deselected=11)
