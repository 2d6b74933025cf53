"""The files of the trace sets are what the sources say, and are what the official schema asks for."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_fib.data.readers import definition_remarks, read_definition, read_workloads
from pytest_fib.data.workload import WorkloadLine
from pytest_fib.errors import DataError

TRACESETS = Path(__file__).resolve().parents[2] / "tracesets"
DEFINITIONS = sorted(TRACESETS.glob("*/definitions/*/*.json"))
WORKLOADS = sorted(TRACESETS.glob("*/workloads/*/*.jsonl"))
Load = Callable[[Path], ModuleType]


def lines_of(path: Path) -> list[WorkloadLine]:
    lines = list(read_workloads(path))
    assert not [line for line in lines if isinstance(line, DataError)]
    return [line for line in lines if isinstance(line, WorkloadLine)]


def test_every_generated_file_is_up_to_date(generate: ModuleType) -> None:
    files = generate.generated_files()
    assert {path: path.read_bytes() for path in files} == {
        path: text.encode() for path, text in files.items()
    }
    assert set(files) == {*DEFINITIONS, *WORKLOADS}
    assert generate.main(["--check"]) == 0


@pytest.fixture
def elsewhere(tmp_path: Path, load_script: Load) -> ModuleType:
    """A generator with its own copy of the trace sets."""
    copy = tmp_path / "tracesets"
    shutil.copytree(TRACESETS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return load_script(copy / "generate.py")


@pytest.mark.parametrize("kind", ["definitions", "workloads"])
def test_check_finds_a_changed_file_and_a_run_mends_it(elsewhere: ModuleType, kind: str) -> None:
    path = next((elsewhere.ROOT / "mini" / kind / "gemm").iterdir())
    text = path.read_text()
    path.write_text(text.replace("gemm", "germ", 1))
    assert elsewhere.main(["--check"]) == 1
    assert path.read_text() != text
    assert elsewhere.main([]) == 0
    assert path.read_text() == text
    assert elsewhere.main(["--check"]) == 0


def test_a_file_that_no_row_explains_is_removed_but_only_from_generated_sets(elsewhere: ModuleType) -> None:
    orphan = elsewhere.ROOT / "mini" / "definitions" / "gemm" / "old.json"
    own = elsewhere.ROOT / "mine" / "definitions" / "gemm" / "own.json"
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    orphan.write_text("{}")
    assert elsewhere.main(["--check"]) == 1
    assert elsewhere.main([]) == 0
    assert not orphan.exists()
    assert own.exists()


def test_one_more_line_in_a_table_is_one_more_definition(elsewhere: ModuleType) -> None:
    source = elsewhere.ROOT / "sources" / "rmsnorm.py"
    row = '    ("mini", "rmsnorm_h{hidden_size}", {"hidden_size": 96}, _batches(2, 3)),\n]\n'
    source.write_text(source.read_text().rstrip().removesuffix("]") + row)
    assert elsewhere.main([]) == 0
    definition = read_definition(elsewhere.ROOT / "mini/definitions/rmsnorm/rmsnorm_h96.json")
    assert definition.resolve_axes({"batch_size": 3}) == {"batch_size": 3, "hidden_size": 96}
    lines = lines_of(elsewhere.ROOT / "mini/workloads/rmsnorm/rmsnorm_h96.jsonl")
    assert [line.workload.axes for line in lines] == [{"batch_size": 2}, {"batch_size": 3}]


def test_a_value_that_is_neither_axis_nor_input_is_refused(generate: ModuleType) -> None:
    document = json.loads((TRACESETS / "mini/definitions/gemm/gemm_n128_k256.json").read_text())
    with pytest.raises(ValueError, match=r"neither axis nor input.*batch"):
        list(generate.workload_lines("mini", document, [{"M": 1, "batch": 2}]))


@pytest.mark.parametrize("path", DEFINITIONS, ids=lambda path: path.stem)
def test_definitions_are_readable_without_remarks(path: Path) -> None:
    definition = read_definition(path)
    assert (definition.name, definition.op_type) == (path.stem, path.parent.name)
    assert not definition_remarks(definition, path)
    assert definition.reference_problem() is None
    assert "Source" in definition.reference


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.stem)
def test_workloads_are_wrapped_as_officially_and_fit_their_definition(path: Path) -> None:
    definition = read_definition(path.parents[2] / "definitions" / path.parent.name / f"{path.stem}.json")
    for text, line in zip(path.read_text().splitlines(), lines_of(path), strict=True):
        document = json.loads(text)
        assert list(document) == ["definition", "solution", "workload", "evaluation"]
        assert document["solution"] is None
        assert document["evaluation"] is None
        assert line.definition == definition.name
        assert list(line.workload.inputs) == list(definition.inputs)
        if "mlsys26" not in path.parts or "dsa_topk_indexer" not in definition.name:
            # Nearly half of the contest's own tables are narrower than its definition says.
            assert not definition.check_constraints(line.workload.axes)


def test_uuids_are_all_different_and_of_version_5() -> None:
    uuids = [line.workload.uuid for path in WORKLOADS for line in lines_of(path)]
    assert len(set(uuids)) == len(uuids)
    assert {uuid.UUID(text).version for text in uuids} == {5}


def test_a_uuid_depends_on_content_alone(generate: ModuleType) -> None:
    document = json.loads((TRACESETS / "mini/definitions/gemm/gemm_n128_k256.json").read_text())

    def uuids(*rows: int) -> list[str]:
        lines = generate.workload_lines("mini", document, [{"M": row} for row in rows])
        return [line["workload"]["uuid"] for line in lines]

    assert uuids(1, 2) == uuids(2, 1)[::-1]
    assert uuids(1) == [lines_of(TRACESETS / "mini/workloads/gemm/gemm_n128_k256.jsonl")[0].workload.uuid]


def test_equal_workloads_are_told_apart_by_their_number(generate: ModuleType) -> None:
    document = json.loads((TRACESETS / "mini/definitions/gemm/gemm_n128_k256.json").read_text())
    lines = list(generate.workload_lines("mini", document, [{"M": 1}, {"M": 2}, {"M": 1}, {"M": 1}]))
    uuids = [line["workload"]["uuid"] for line in lines]
    assert len(set(uuids)) == 4
    assert uuids[0] == lines_of(TRACESETS / "mini/workloads/gemm/gemm_n128_k256.jsonl")[0].workload.uuid


def test_the_contest_moe_has_the_official_interface_and_the_contest_sizes(shared_dataset: Path) -> None:
    name = "moe_fp8_block_scale_ds_routing_topk8_ng8_kg4_e32_h7168_i2048"
    ours = read_definition(TRACESETS / f"mlsys26/definitions/moe/{name}.json")
    official = read_definition(shared_dataset / f"interfaces/moe/{name}.json")
    for field in ("name", "op_type", "axes", "inputs", "outputs", "constraints"):
        assert getattr(ours, field) == getattr(official, field)
    assert list(ours.inputs) == list(official.inputs)

    captured = lines_of(shared_dataset / f"contest/workloads/moe/{name}.jsonl")
    lines = lines_of(TRACESETS / f"mlsys26/workloads/moe/{name}.jsonl")
    assert sorted(line.workload.axes["seq_len"] for line in lines) == sorted(
        line.workload.axes["seq_len"] for line in captured
    )


def test_small_families_have_official_interfaces_but_for_their_sizes(
    generate: ModuleType, shared_dataset: Path
) -> None:
    pairs = {
        "rmsnorm/rmsnorm_h128": "rmsnorm/rmsnorm_h128",
        "rmsnorm/fused_add_rmsnorm_h256": "rmsnorm/fused_add_rmsnorm_h2048",
        "gemm/gemm_n128_k256": "gemm/gemm_n128_k2048",
        "gqa_paged/gqa_paged_decode_h4_kv2_d64_ps1": "gqa_paged/gqa_paged_decode_h32_kv8_d128_ps1",
        "gqa_paged/gqa_paged_decode_h4_kv2_d64_ps16": "gqa_paged/gqa_paged_decode_h32_kv8_d128_ps64",
        "gqa_ragged/gqa_ragged_prefill_causal_h4_kv2_d64": "gqa_ragged/gqa_ragged_prefill_causal_h32_kv8_d128",
    }
    for small, official in pairs.items():
        ours = read_definition(TRACESETS / f"mini/definitions/{small}.json")
        theirs = read_definition(shared_dataset / f"interfaces/{official}.json")
        for field in ("op_type", "inputs", "outputs", "constraints"):
            assert getattr(ours, field) == getattr(theirs, field)
        assert {name: axis.type for name, axis in ours.axes.items()} == {
            name: axis.type for name, axis in theirs.axes.items()
        }


def test_an_interface_gets_the_reference_of_its_family(generate: ModuleType) -> None:
    small = json.loads((TRACESETS / "mini/definitions/rmsnorm/rmsnorm_h128.json").read_text())
    interface = {key: value for key, value in small.items() if key != "reference"}
    assert generate.definition_for_interface({**interface, "name": "rmsnorm_h2048"}) == {
        **small,
        "name": "rmsnorm_h2048",
    }


def test_a_reference_has_the_constants_of_its_definition(generate: ModuleType) -> None:
    family = {"reference": [scaled], "constants": {"FACTOR": "width", "SHIFT": 1e-05}}
    namespace: dict[str, Any] = {}
    exec(generate.reference_text(family, {"width": 7}), namespace)
    assert namespace["run"](2) == 14 + 1e-5


FACTOR, SHIFT = 1, 0.0


def scaled(x: int) -> float:
    return x * FACTOR + SHIFT


def test_the_epsilon_of_llama_is_its_own(generate: ModuleType) -> None:
    axes = {"batch_size": {"type": "var"}, "hidden_size": {"type": "const", "value": 4096}}
    interface = {"name": "rmsnorm_h4096", "op_type": "rmsnorm", "axes": axes}
    interface["inputs"] = {"hidden_states": {}, "weight": {}}
    assert "EPSILON = 1e-05\n" in generate.definition_for_interface(interface)["reference"]


@pytest.mark.parametrize(
    "change", [{"name": "rmsnorm_h12_fused"}, {"op_type": "norm"}, {"inputs": {"x": {}}}]
)
def test_an_interface_that_no_family_fits_gets_none(generate: ModuleType, change: dict[str, object]) -> None:
    interface = json.loads((TRACESETS / "mini/definitions/rmsnorm/rmsnorm_h128.json").read_text())
    with pytest.raises(KeyError, match="no source family fits"):
        generate.definition_for_interface({**interface, **change})
