from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pytest_fib.errors import DataError, NotJudgeable
from pytest_fib.inputs import InputPlan
from pytest_fib.inputs.dtypes import TORCH

Make = Callable[..., InputPlan]

INDPTR = torch.tensor([0, 2, 3], dtype=torch.int32)
INPUTS = {
    "q": ([2, 4, 8], "bfloat16"),
    "k_cache": (["pages", 1, 2, 8], "bfloat16"),
    "kv_indptr": ([3], "int32"),
    "kv_indices": ([3], "int32"),
}


def blob(key: str, path: str = "./blob/x.safetensors") -> dict[str, Any]:
    return {"type": "safetensors", "path": path, "tensor_key": key}


def save(root: Path, tensors: dict[str, torch.Tensor]) -> None:
    (root / "blob").mkdir()
    save_file(tensors, root / "blob" / "x.safetensors")


def plan_of(make_plan: Make, root: Path, sources: dict[str, Any], **options: Any) -> InputPlan:
    return make_plan(
        INPUTS, {"pages": 5}, op_type="gqa_paged", sources=sources, traceset_root=root, **options
    )


def test_captured_tensors_are_the_same_at_every_call(make_plan: Make, tmp_path: Path) -> None:
    indices = torch.tensor([4, 0, 4], dtype=torch.int32)
    save(tmp_path, {"kv_indptr": INDPTR, "pages": indices})
    plan = plan_of(
        make_plan,
        tmp_path,
        {"kv_indptr": blob("kv_indptr"), "kv_indices": blob("pages", "blob/x.safetensors")},
    )
    for call in (0, 7):
        drawn = plan.draw(call)
        assert torch.equal(drawn["kv_indptr"], INDPTR)
        assert torch.equal(drawn["kv_indices"], indices)
    assert not torch.equal(plan.draw(0)["q"], plan.draw(1)["q"])
    assert plan.synthesized == ()


@pytest.mark.parametrize("dtype", list(TORCH))
def test_every_dtype_can_be_captured(make_plan: Make, tmp_path: Path, dtype: str) -> None:
    captured = torch.tensor([[1.0], [0.0]]).to(TORCH[dtype])
    save(tmp_path, {"x": captured, "scalar": captured[0, 0].clone()})
    plan = make_plan(
        {"x": ([2, 1], dtype), "y": ([], dtype)},
        sources={"x": blob("x"), "y": blob("scalar")},
        traceset_root=tmp_path,
    )
    out = {"x": torch.zeros_like(captured)}
    drawn = plan.draw(0, out)
    assert torch.equal(out["x"].view(torch.uint8), captured.view(torch.uint8))
    assert drawn["y"].item() == 1


@pytest.mark.parametrize(
    "wrong", [INDPTR[:2].clone(), INDPTR.long(), INDPTR.view(1, 3)], ids=["shape", "dtype", "rank"]
)
def test_another_shape_or_dtype_is_refused(make_plan: Make, tmp_path: Path, wrong: torch.Tensor) -> None:
    save(tmp_path, {"kv_indptr": wrong})
    with pytest.raises(
        DataError, match=r"'kv_indptr' in './blob/x.safetensors' is .*should be int32 \[3\]; correct"
    ):
        plan_of(make_plan, tmp_path, {"kv_indptr": blob("kv_indptr")})


def test_a_missing_key_is_named(make_plan: Make, tmp_path: Path) -> None:
    save(tmp_path, {"other": INDPTR})
    with pytest.raises(
        DataError, match=r"no tensor 'kv_indptr' in '\./blob/x\.safetensors' for input 'kv_indptr'"
    ):
        plan_of(make_plan, tmp_path, {"kv_indptr": blob("kv_indptr")})


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 64, (2**60).to_bytes(8, "little"), b"\2\0\0\0\0\0\0\0{}x"]
)
def test_a_broken_file_is_one_sentence(make_plan: Make, tmp_path: Path, content: bytes) -> None:
    save(tmp_path, {"kv_indptr": INDPTR})
    (tmp_path / "blob" / "x.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"'\./blob/x\.safetensors' is unreadable|no tensor"):
        plan_of(make_plan, tmp_path, {"kv_indptr": blob("kv_indptr")})


def test_an_absent_file_is_a_skip_that_names_file_and_flag(make_plan: Make, tmp_path: Path) -> None:
    with pytest.raises(NotJudgeable, match=r"'./blob/x.safetensors'.*--fib-synthesize-missing"):
        plan_of(make_plan, tmp_path, {"kv_indptr": blob("kv_indptr")})
    with pytest.raises(NotJudgeable, match=r"'./blob/x.safetensors'.*--fib-synthesize-missing"):
        make_plan(INPUTS, {"pages": 5}, sources={"kv_indptr": blob("kv_indptr")})


def test_a_path_out_of_the_dataset_is_refused(make_plan: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="outside"):
        plan_of(
            make_plan, tmp_path, {"kv_indptr": blob("kv_indptr", "../x.safetensors")}, synthesize_missing=True
        )


def test_stand_ins_are_drawn_by_the_rules_and_named(make_plan: Make, tmp_path: Path) -> None:
    sources = {"kv_indptr": blob("kv_indptr"), "kv_indices": blob("kv_indices")}
    plan = plan_of(make_plan, tmp_path, sources, synthesize_missing=True)
    assert plan.synthesized == ("kv_indptr", "kv_indices")
    drawn = plan.draw(0)
    assert drawn["kv_indptr"][0] == 0
    assert drawn["kv_indptr"][-1] == 3
    assert (drawn["kv_indices"] < 5).all()


def test_stand_ins_fit_what_is_there(make_plan: Make, tmp_path: Path) -> None:
    save(tmp_path, {"kv_indptr": INDPTR})
    sources = {"kv_indptr": blob("kv_indptr"), "kv_indices": blob("kv_indices", "blob/absent")}
    plan = plan_of(make_plan, tmp_path, sources, synthesize_missing=True)
    assert plan.synthesized == ("kv_indices",)
    for call in range(20):
        first, second, _ = plan.draw(call)["kv_indices"].tolist()
        assert first != second


def test_integers_without_rules_have_no_stand_in(make_plan: Make) -> None:
    inputs = {"cu_seqlens": ([3], "int64"), "x": ([3], "float32")}
    floats = make_plan(inputs, op_type="gdn", sources={"x": blob("x")}, synthesize_missing=True)
    assert floats.synthesized == ("x",)
    with pytest.raises(
        NotJudgeable, match="'cu_seqlens' of workload w has no stand-in yet for op type 'gdn'"
    ):
        make_plan(inputs, op_type="gdn", sources={"cu_seqlens": blob("x")}, synthesize_missing=True)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 3, 2], [0, 1, 2], "'kv_indptr'.* should rise from 0 to 3"),
        ([1, 2, 3], [0, 1, 2], "'kv_indptr'.* should rise from 0 to 3"),
        ([0, 2, 4], [0, 1, 2], "'kv_indptr'.* should rise from 0 to 3"),
        ([0, 4, 3], [0, 1, 2], "'kv_indptr'.* should rise from 0 to 3"),
        ([0, 2, 3], [0, 5, 2], r"'kv_indices'.* holds 5, which is not in \[0, 5\)"),
        ([0, 2, 3], [0, 1, -1], r"'kv_indices'.* holds -1"),
    ],
)
def test_captured_content_that_would_be_read_out_of_bounds_is_a_skip(
    make_plan: Make, tmp_path: Path, indptr: list[int], indices: list[int], message: str
) -> None:
    save(
        tmp_path,
        {"a": torch.tensor(indptr, dtype=torch.int32), "b": torch.tensor(indices, dtype=torch.int32)},
    )
    with pytest.raises(NotJudgeable, match=message):
        plan_of(make_plan, tmp_path, {"kv_indptr": blob("a"), "kv_indices": blob("b")})
