from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_fib.border.arena import Plan, Region
from pytest_fib.data.definition import Definition
from pytest_fib.data.workload import Workload
from pytest_fib.inputs import plan_inputs
from pytest_fib.judge.floor import Floors, Peaks
from pytest_fib.judge.machine import MachineLock
from pytest_fib.judge.roofs import cpu_roof, kept_roof
from pytest_fib.judge.work import DECLARED, Facts, Work, seen_pairs, spread
from pytest_fib.measure.roof import Roof

Tensors = dict[str, tuple[tuple[int, ...], str]]
ROOF = Roof([(0.0, 10.0)], {"float32": 100.0, "float16": 1000.0})


def plan(inputs: Tensors, outputs: Tensors, in_place: tuple[str, ...] = ()) -> Plan:
    return Plan(Region.plan(inputs, 1), Region.plan(outputs, 1), tuple(inputs), {}, False, in_place=in_place)


def work(op_type: str, inputs: Tensors, outputs: Tensors, *, name: str = "", **content: list[Any]) -> Work:
    arrays = {key: np.array(value) for key, value in content.items()}
    return DECLARED[op_type].count(Facts(plan(inputs, outputs), {}, name, arrays))


def test_a_product_reads_and_writes_once_and_multiplies() -> None:
    found = work("gemm", {"A": ((8, 16), "float16"), "B": ((4, 16), "float16")}, {"C": ((8, 4), "float16")})
    assert found == Work((8 * 16 + 4 * 16) * 2, 8 * 4 * 2, 2 * 8 * 4 * 16, "float16")


ATTENTION: Tensors = {
    "q": ((3, 4, 8), "float16"),
    "k_cache": ((100, 16, 2, 8), "float16"),
    "v_cache": ((100, 16, 2, 8), "float16"),
    "kv_indptr": ((4,), "int32"),
    "kv_indices": ((5,), "int32"),
    "kv_last_page_len": ((3,), "int32"),
}


def test_of_a_paged_cache_only_the_tokens_of_sequences_are_read_and_shared_ones_once() -> None:
    """Sequence 0 has pages 7 and 9 (3 tokens of it), 1 none, 2 pages 7, 9 and 8: 16 of it, and 5 of the last."""
    outputs: Tensors = {"output": ((3, 4, 8), "float16"), "lse": ((3, 4), "float32")}
    found = work(
        "gqa_paged",
        ATTENTION,
        outputs,
        kv_indptr=[0, 2, 2, 5],
        kv_indices=[7, 9, 7, 9, 8],
        kv_last_page_len=[3, 1, 5],
    )
    small = 3 * 4 * 8 * 2 + 4 * 4 + 5 * 4 + 3 * 4
    assert found.reads == small + (16 + 16 + 5) * 2 * (2 * 8 * 2)
    assert found.operations == 2 * 4 * (8 + 8) * (19 + 37)
    assert found.dtype == "float16"


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=5))
def test_causal_attention_looks_at_what_a_mask_lets_through(sizes: list[tuple[int, int]]) -> None:
    queries, tokens = (np.array([pair[side] for pair in sizes], dtype=np.int64) for side in (0, 1))
    masks = (np.tril(np.ones((nq, nk)), nk - nq).sum() for nq, nk in sizes)
    assert seen_pairs(queries, tokens) == sum(masks)


@given(st.integers(0, 5000), st.integers(1, 16), st.integers(16, 512), st.integers(1, 16))
def test_a_router_hits_no_more_experts_than_there_are_or_are_sent_to(
    tokens: int, top_k: int, experts: int, here: int
) -> None:
    hit, pairs = spread(tokens, top_k, experts, here)
    assert 0 <= hit <= min(here, pairs) + 1e-9
    assert pairs == pytest.approx(tokens * top_k * here / experts)
    assert spread(tokens + 1, top_k, experts, here) >= (hit, pairs)


def test_a_mixture_of_experts_does_a_fraction_of_the_dense_product() -> None:
    inputs: Tensors = {
        "routing_logits": ((1, 256), "float32"),
        "hidden_states": ((1, 64), "float8_e4m3fn"),
        "gemm1_weights": ((32, 32, 64), "float8_e4m3fn"),
        "gemm2_weights": ((32, 64, 16), "float8_e4m3fn"),
    }
    found = work("moe", inputs, {"output": ((1, 64), "bfloat16")}, name="moe_topk8_e32")
    # One token is sent to 8 of 256 experts, of which 32 are here: on average to one of them.
    assert found.operations == pytest.approx(2 * 64 * (32 + 16))
    assert found.reads == pytest.approx(256 * 4 + 64 + 64 * 32 + 64 * 16)
    assert found.dtype == "float8_e4m3fn"


def test_the_indexer_scores_only_sequences_from_which_it_has_to_choose() -> None:
    inputs: Tensors = {
        "q_index_fp8": ((2, 8, 32), "float8_e4m3fn"),
        "k_index_cache_fp8": ((50, 16, 1, 36), "int8"),
        "weights": ((2, 8), "float32"),
        "seq_lens": ((2,), "int32"),
        "block_table": ((2, 4), "int32"),
    }
    outputs: Tensors = {"topk_indices": ((2, 20), "int32")}
    found = work("dsa_paged", inputs, outputs, seq_lens=[20, 40], block_table=[[1, 2, 0, 0], [3, 4, 5, 0]])
    assert found.operations == 2 * 40 * 8 * 32
    assert found.reads == 2 * 8 * 32 + 2 * 8 * 4 + 2 * 4 + 40 * 36


def definitions() -> list[Path]:
    return sorted(Path(__file__).parents[2].glob("tracesets/*/definitions/*/*.json"))


@pytest.mark.parametrize("path", definitions(), ids=lambda path: path.stem)
def test_every_op_type_of_the_shipped_sets_says_what_it_needs(path: Path) -> None:
    """For a first workload: at least all that is written, at most all that there is (mini only: content is drawn)."""
    definition = Definition.model_validate_json(path.read_text())
    assert definition.op_type in DECLARED
    if path.parents[2].name != "mini":
        return
    lines = path.parents[2] / "workloads" / definition.op_type / f"{definition.name}.jsonl"
    workload = Workload.model_validate(json.loads(lines.read_text().splitlines()[0])["workload"])
    inputs = plan_inputs(definition, workload, traceset_root=path.parents[2], secret=b"s" * 32)
    tensors = {
        name: (layout.shape, str(layout.dtype).removeprefix("torch."))
        for name, layout in inputs.tensors.items()
    }
    outputs = {
        name: (shape, definition.outputs[name].dtype)
        for name, shape in definition.output_shapes(workload.axes).items()
        if shape is not None
    }
    declared, laid = DECLARED[definition.op_type], plan(tensors, outputs)
    content = {name: tensor.numpy() for name, tensor in inputs.draw(1, only=declared.content).items()}
    found = declared.count(Facts(laid, definition.resolve_axes(workload.axes), definition.name, content))
    written = sum(slot.nbytes for slot in laid.outputs.slots)
    assert 0 < found.writes <= written
    assert 0 < found.reads <= sum(slot.nbytes for slot in laid.inputs.slots) + 1e-6
    assert found.operations >= 0


GEMM = Definition.model_validate(
    {
        "name": "gemm_n4_k16",
        "op_type": "gemm",
        "axes": {
            "M": {"type": "var"},
            "N": {"type": "const", "value": 4},
            "K": {"type": "const", "value": 16},
        },
        "inputs": {
            "A": {"shape": ["M", "K"], "dtype": "float16"},
            "B": {"shape": ["N", "K"], "dtype": "float16"},
        },
        "outputs": {"C": {"shape": ["M", "N"], "dtype": "float16"}},
        "reference": "def run(A, B):\n    return A @ B.T\n",
    }
)
GEMM_INPUTS = {name: {"type": "random"} for name in "AB"}
GEMM_PLAN = plan({"A": ((8, 16), "float16"), "B": ((4, 16), "float16")}, {"C": ((8, 4), "float16")})


@pytest.fixture
def floors(tmp_path: Path) -> Floors:
    found = Floors("cpu", 2, tmp_path, MachineLock(tmp_path))
    found.__dict__["roof"] = ROOF
    return found


def test_what_no_call_can_do_without_is_also_impossible_below(floors: Floors) -> None:
    workload = Workload.model_validate({"uuid": "w", "axes": {"M": 8}, "inputs": GEMM_INPUTS})
    inputs = plan_inputs(GEMM, workload, traceset_root=None, secret=b"s" * 32)
    floor = floors.of(GEMM, workload, GEMM_PLAN, inputs)
    nbytes = (8 * 16 + 4 * 16 + 8 * 4) * 2
    assert floor.least_ns == pytest.approx(max(nbytes / 10, 2 * 8 * 4 * 16 / 1000))
    assert floor.impossible_ns is not None
    assert 0 < floor.impossible_ns < 100


def test_who_declares_nothing_or_looks_different_has_no_floor(floors: Floors) -> None:
    workload = Workload.model_validate({"uuid": "w", "axes": {"M": 8}, "inputs": GEMM_INPUTS})
    inputs = plan_inputs(GEMM, workload, traceset_root=None, secret=b"s" * 32)
    for op_type in ("unheard_of", "gqa_paged", "moe"):
        other = GEMM.model_copy(update={"op_type": op_type})
        assert floors.of(other, workload, GEMM_PLAN, inputs).least_ms is None


def test_peaks_of_this_machine_are_generous() -> None:
    peaks = Peaks()
    assert 1 < peaks.bytes_per_ns < 1e5
    assert 1 < peaks.operations_per_ns < 1e6


def test_a_roof_is_measured_once_and_again_for_another_device_or_a_damaged_file(tmp_path: Path) -> None:
    measured: list[Roof] = []

    def measure() -> Roof:
        measured.append(ROOF)
        return ROOF

    for key, times in (("GPU-1 driver 580", 1), ("GPU-1 driver 580", 1), ("GPU-1 driver 590", 2)):
        roof = kept_roof(tmp_path, key, measure)
        assert (list(roof.bandwidth), roof.matrix, roof.kept) == (ROOF.bandwidth, ROOF.matrix, ROOF.kept)
        assert len(measured) == times
    for path in (tmp_path / "roofs").iterdir():
        path.write_text('{"bandwidth": [[0, -1]], "matrix": {}, "kept": 0}')
    kept_roof(tmp_path, "GPU-1 driver 580", measure)
    assert len(measured) == 3


def test_a_processor_can_be_measured() -> None:
    roof = cpu_roof(1)
    assert all(0.1 < rate < 1e4 for _, rate in roof.bandwidth)
    assert 0.1 < roof.matrix["float32"] < 1e5
