"""Real workloads with the tensors that a served model used, judged through the command that users type."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("FIB_SHARED_DATASET", ROOT.parent / "shared" / "dataset"))
SOLUTIONS = ROOT / "solutions" / "official"
DEFINITIONS = {
    "gqa_paged": "gqa_paged_decode_h32_kv8_d128_ps1",
    "gqa_ragged": "gqa_ragged_prefill_causal_h32_kv8_d128",
}

pytestmark = pytest.mark.skipif(
    not (SHARED / "captured").is_dir(), reason="no shared dataset: set FIB_SHARED_DATASET"
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, generate: ModuleType) -> Path:
    """A dataset of the captured workloads: the official interfaces with our references."""
    root = tmp_path_factory.mktemp("captured")
    for op_type, name in DEFINITIONS.items():
        interface = json.loads((SHARED / "interfaces" / op_type / f"{name}.json").read_text())
        path = root / "definitions" / op_type / f"{name}.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(generate.definition_for_interface(interface)))
    for room in ("workloads", "blob"):
        (root / room).symlink_to(SHARED / "captured" / room)
    return root


def judge(pytester: pytest.Pytester, dataset: Path, solution: str, *more: str) -> pytest.RunResult:
    named = [f"--fib-solution={path}" for path in SOLUTIONS.glob(f"*/*_{solution}.json")]
    assert len(named) == len(DEFINITIONS)
    return pytester.runpytest_subprocess(
        *named,
        f"--fib-traceset={dataset}",
        "--fib-profile=quick",
        "--fib-report=report.json",
        "-p",
        "no:cacheprovider",
        *more,
    )


def test_all_captured_workloads_are_right(pytester: pytest.Pytester, dataset: Path) -> None:
    judge(pytester, dataset, "python", "--fib-no-timing").assert_outcomes(passed=19)


def test_captured_workloads_are_timed(pytester: pytest.Pytester, dataset: Path) -> None:
    # The six decode batches of 64 sequences hold 100 to 250 MB of keys and values each; one large workload will do.
    chosen = "num_pages26475 or not (batch_size64 or total_q967)"
    judge(pytester, dataset, "cpp", "-k", chosen).assert_outcomes(passed=13, deselected=6)
    measurements = json.loads((pytester.path / "report.json").read_text())["measurements"]
    assert all(found["status"] == "PASSED" and found["verified_calls"] >= 20 for found in measurements)
