"""Everything in the shared dataset loads; nothing here runs without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import SafetensorsInput, WorkloadLine
from pytest_fib.errors import NotJudgeable


def workloads(folder: Path) -> list[WorkloadLine]:
    found = [line for path in sorted(folder.rglob("*.jsonl")) for line in read_workloads(path)]
    assert [line for line in found if not isinstance(line, WorkloadLine)] == []
    return [line for line in found if isinstance(line, WorkloadLine)]


def test_all_interfaces_load(shared_dataset: Path) -> None:
    definitions = [read_definition(path) for path in sorted((shared_dataset / "interfaces").rglob("*.json"))]
    assert len(definitions) == 156
    assert len({definition.name for definition in definitions}) == 156
    for definition in definitions:
        assert "has no reference" in (definition.reference_problem() or "")


def test_all_workload_lines_load_and_fit_their_interface(shared_dataset: Path) -> None:
    lines = workloads(shared_dataset / "official") + workloads(shared_dataset / "contest")
    assert len(lines) == 987
    interfaces = {path.stem: path for path in (shared_dataset / "interfaces").rglob("*.json")}
    definitions = {name: read_definition(interfaces[name]) for name in {line.definition for line in lines}}
    for line in lines:
        definition = definitions[line.definition]
        shapes = definition.input_shapes(line.workload.axes)
        assert set(line.workload.inputs) == set(shapes)
        assert line.path.stem == line.definition


def test_half_of_the_indexer_workloads_violate_their_own_constraint(shared_dataset: Path) -> None:
    name = "dsa_topk_indexer_fp8_h64_d128_topk2048_ps64"
    definition = read_definition(shared_dataset / "interfaces" / "dsa_paged" / f"{name}.json")
    lines = workloads(shared_dataset / "contest" / "workloads" / "dsa_paged")
    violated = [definition.check_constraints(line.workload.axes) for line in lines if line.definition == name]
    assert (len(violated), len([found for found in violated if found])) == (128, 59)


def test_captured_workloads_have_their_tensors(shared_dataset: Path) -> None:
    traceset = Traceset(shared_dataset / "captured")
    lines = workloads(traceset.root / "workloads")
    assert len(lines) == 19
    paths = {
        item.path
        for line in lines
        for item in line.workload.inputs.values()
        if isinstance(item, SafetensorsInput)
    }
    assert all(traceset.resolve_blob(path).suffix == ".safetensors" for path in paths)


def test_official_workloads_are_skips_for_want_of_their_tensors(shared_dataset: Path) -> None:
    traceset = Traceset(shared_dataset / "official")
    path = traceset.workload_file("gqa_paged_decode_h32_kv8_d128_ps1")
    assert path is not None
    line = next(read_workloads(path))
    assert isinstance(line, WorkloadLine)
    blob = next(item.path for item in line.workload.inputs.values() if isinstance(item, SafetensorsInput))
    with pytest.raises(NotJudgeable, match="fetch the dataset's blobs"):
        traceset.resolve_blob(blob)
