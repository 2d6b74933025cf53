"""Captured tensors that are not there: a skip that names the file, or stand-ins that the report names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "gqa_paged_decode_h4_kv2_d64_ps1"
SOLUTION = ROOT / "solutions/mini/gqa_paged/gqa_decode_ps1_python.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n" % 0
# What fills kv_indptr and, if it is given, kv_indices in each workload: its uuid is 32 hexadecimal digits.
CASES = {
    "gone": ["./blob/workloads/x.safetensors"],
    "gone, another spelling": ["blob/workloads/x.safetensors"],
    "pointer": ["blob/pointer.safetensors"],
    "several": ["blob/gone.safetensors", "./blob/pointer.safetensors"],
    "above": ["../x.safetensors"],
    "absolute": ["/etc/passwd"],
    "around": ["blob/../../x.safetensors"],
    "link": ["blob/link"],
    "nothing captured": [],
}
UUIDS = {name: f"{number:08x}" * 4 for number, name in enumerate(CASES, 0xABCDEF)}
OUTSIDE = ("above", "absolute", "around", "link")


@pytest.fixture
def dataset(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with a workload for each case, all alike but for what is captured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(pytester.path / "cache"))
    root = pytester.path / "set"
    for room, suffix in (("definitions", ".json"), ("workloads", ".jsonl"), ("blob", "")):
        path = root / room / "gqa_paged" / (NAME + suffix)
        path.parent.mkdir(parents=True)
        if suffix:
            shutil.copy(ROOT / "tracesets/mini" / room / "gqa_paged" / path.name, path)
    line = json.loads((root / "workloads/gqa_paged" / f"{NAME}.jsonl").read_text().splitlines()[0])
    lines = [json.dumps(with_captured(line, name)) for name in CASES]
    (root / "workloads/gqa_paged" / f"{NAME}.jsonl").write_text("\n".join(lines))
    (root / "blob/pointer.safetensors").write_bytes(POINTER)
    (root / "blob/link").symlink_to("/etc/passwd")
    return root


def with_captured(line: dict[str, Any], name: str) -> dict[str, Any]:
    inputs = dict(line["workload"]["inputs"])
    for key, path in zip(("kv_indptr", "kv_indices"), CASES[name], strict=False):
        inputs[key] = {"type": "safetensors", "path": path, "tensor_key": key}
    return {**line, "workload": {**line["workload"], "uuid": UUIDS[name], "inputs": inputs}}


def judge(pytester: pytest.Pytester, *more: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result = pytester.runpytest(
        f"--fib-solution={SOLUTION}",
        "--fib-traceset=set",
        "--fib-no-timing",
        "--fib-profile=quick",
        "--fib-report=report.json",
        "-rs",
        *more,
    )
    return result, json.loads((pytester.path / "report.json").read_text())


def test_without_the_flag_it_is_a_skip_that_names_the_file(dataset: Path, pytester: pytest.Pytester) -> None:
    result, report = judge(pytester)
    result.assert_outcomes(passed=1, skipped=4, failed=len(OUTSIDE))
    reasons = {skip["workload"]: skip["reason"] for skip in report["skipped"]}
    for name in ("gone", "gone, another spelling", "several"):
        assert f"'{CASES[name][0]}' is not in " in reasons[UUIDS[name]]
        assert "fetch the dataset's blobs or pass --fib-synthesize-missing" in reasons[UUIDS[name]]
    remedy = "fetch the dataset's blobs or pass --fib-synthesize-missing"
    result.stdout.fnmatch_lines(
        [f"SKIPPED ?3? set/workloads/gqa_paged/{NAME}.jsonl:1: captured tensors are not in */set; {remedy}"]
    )
    assert "'blob/pointer.safetensors' in " in reasons[UUIDS["pointer"]]
    assert "is only a git-LFS pointer; run 'git lfs pull' there or pass --fib" in reasons[UUIDS["pointer"]]


def test_with_it_the_report_says_which_inputs_are_stand_ins(dataset: Path, pytester: pytest.Pytester) -> None:
    result, report = judge(pytester, "--fib-synthesize-missing")
    result.assert_outcomes(passed=5, failed=len(OUTSIDE))
    found = {UUIDS[name]: CASES[name] for name in CASES if name not in OUTSIDE}
    assert len(report["measurements"]) == len(found)
    for measurement in report["measurements"]:
        names = ["kv_indptr", "kv_indices"][: len(found[measurement["workload"]])]
        assert measurement["synthesized"] == names
        said = [text for text in measurement["remarks"] if "synthesized" in text]
        assert said == ([f"synthesized inputs: {', '.join(names)}"] if names else [])
    result.stdout.fnmatch_lines(["remark on 3 workloads: synthesized inputs: kv_indptr"])
    for name in OUTSIDE:
        result.stdout.fnmatch_lines_random([f"tensor file '{CASES[name][0]}' *out*the dataset*"])
