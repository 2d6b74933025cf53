"""Stand-ins for captured tensors: valid beside whatever is there, for every op type; files are loaded once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from pytest_fib.data.definition import Definition
from pytest_fib.data.readers import read_definition, read_workloads
from pytest_fib.data.traceset import Traceset
from pytest_fib.data.workload import SafetensorsInput, Workload, WorkloadLine
from pytest_fib.errors import DataError
from pytest_fib.inputs import CapturedFiles, InputPlan, Pool, TensorLayout, captured, plan_inputs
from pytest_fib.inputs.structured import GENERATORS

ROOT = Path(__file__).resolve().parents[2]
CONTEST = Path(os.environ.get("FIB_SHARED_DATASET", ROOT.parent / "shared" / "dataset")) / "contest"
MINI = Traceset(ROOT / "tracesets" / "mini")
SECRET = b"s" * 32
POOL = Pool(SECRET)
THERE, GONE = "blob/there.safetensors", "./blob/gone.safetensors"


def case(path: Path) -> tuple[Definition, Workload]:
    """A definition and the second of its workloads, which are more than one row or sequence."""
    definition = read_definition(path)
    workloads = MINI.workload_file(definition.name)
    assert workloads is not None
    line = list(read_workloads(workloads))[1]
    assert isinstance(line, WorkloadLine)
    return definition, line.workload


def with_captured(workload: Workload, there: Iterable[str], gone: Iterable[str]) -> Workload:
    inputs = dict(workload.inputs)
    for path, names in ((THERE, there), (GONE, gone)):
        inputs.update({name: SafetensorsInput(path=path, tensor_key=name) for name in names})
    return workload.model_copy(update={"inputs": inputs})


def plan(definition: Definition, workload: Workload, root: Path, **options: Any) -> InputPlan:
    return plan_inputs(definition, workload, traceset_root=root, secret=SECRET, pool=POOL, **options)


def save(root: Path, tensors: dict[str, torch.Tensor]) -> None:
    (root / "blob").mkdir(exist_ok=True)
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, root / THERE)


STRUCTURED = [path for path in MINI.definition_files() if read_definition(path).op_type in GENERATORS]


def test_every_op_type_with_rules_has_a_mini_definition() -> None:
    assert {read_definition(path).op_type for path in STRUCTURED} == GENERATORS.keys()


@pytest.mark.parametrize("path", STRUCTURED, ids=lambda path: path.stem)
def test_stand_ins_fit_what_is_there(path: Path, tmp_path: Path) -> None:
    """Each input alone is missing, then each alone is there; a plan of the outcome checks it as captured."""
    definition, workload = case(path)
    original = plan(definition, workload, tmp_path).draw(1)
    for name in original:
        for missing in ({name}, original.keys() - {name}):
            there = {other: tensor for other, tensor in original.items() if other not in missing}
            save(tmp_path, there)
            partly = plan(
                definition, with_captured(workload, there, missing), tmp_path, synthesize_missing=True
            )
            assert set(partly.synthesized) == missing
            drawn = partly.draw(2)
            assert all(torch.equal(drawn[other].float(), there[other].float()) for other in there)
            assert all(torch.isfinite(tensor.float()).all() for tensor in drawn.values())
            save(tmp_path, drawn)
            plan(definition, with_captured(workload, drawn, ()), tmp_path)


@pytest.mark.skipif(not CONTEST.is_dir(), reason="no shared dataset: set FIB_SHARED_DATASET")
def test_all_workloads_of_the_contest_have_stand_ins() -> None:
    full = Traceset(ROOT / "tracesets" / "mlsys26")
    count = 0
    for path in Traceset(CONTEST).workload_files():
        definition = full.definition(path.stem)
        for line in read_workloads(path):
            assert isinstance(line, WorkloadLine)
            planned = plan(definition, line.workload, CONTEST, synthesize_missing=True)
            named = {name for name, item in line.workload.inputs.items() if item.type == "safetensors"}
            assert set(planned.synthesized) == named
            count += 1
    assert count == 324


class TestLoadedOnce:
    LAYOUT = TensorLayout((4,), torch.int32)
    ITEM = SafetensorsInput(path=THERE, tensor_key="x")

    @pytest.fixture
    def loads(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
        found: list[Path] = []
        real = captured.safe_open

        def counting(path: str, **options: Any) -> Any:
            found.append(Path(path))
            return real(path, **options)

        monkeypatch.setattr(captured, "safe_open", counting)
        save(tmp_path, {"x": torch.arange(4, dtype=torch.int32), "y": torch.ones(4, dtype=torch.int32)})
        return found

    def draw(self, files: CapturedFiles, root: Path, key: str = "x") -> torch.Tensor:
        item = self.ITEM.model_copy(update={"tensor_key": key})
        return files.source(root / THERE, item, "x", self.LAYOUT).content

    def test_by_all_plans_of_a_session(self, loads: list[Path], tmp_path: Path) -> None:
        definition, workload = case(MINI.definition_path("gqa_paged_decode_h4_kv2_d64_ps1"))
        tensors = plan(definition, workload, tmp_path).draw(0)
        save(tmp_path, tensors)
        files = CapturedFiles()
        for uuid in ("a", "b", "c"):
            case_of = with_captured(workload, tensors, ()).model_copy(update={"uuid": uuid})
            planned = plan(definition, case_of, tmp_path, captured=files)
            for call in range(3):
                planned.draw(call)
        assert len(loads) == len(tensors)

    def test_not_before_it_is_drawn(self, loads: list[Path], tmp_path: Path) -> None:
        CapturedFiles().source(tmp_path / THERE, self.ITEM, "x", self.LAYOUT)
        assert loads == []

    def test_a_file_that_changed_is_read_again(self, loads: list[Path], tmp_path: Path) -> None:
        files = CapturedFiles()
        assert self.draw(files, tmp_path).tolist() == [0, 1, 2, 3]
        save(tmp_path, {"x": torch.full((4,), 7, dtype=torch.int32)})
        assert self.draw(files, tmp_path).tolist() == [7] * 4

    def test_what_was_not_asked_for_lately_is_forgotten(self, loads: list[Path], tmp_path: Path) -> None:
        files = CapturedFiles(kept_bytes=self.LAYOUT.nbytes)
        for key in ("x", "x", "y", "y", "x"):
            self.draw(files, tmp_path, key)
        assert len(loads) == 3

    def test_a_file_that_went_away_is_one_sentence(self, loads: list[Path], tmp_path: Path) -> None:
        source = CapturedFiles().source(tmp_path / THERE, self.ITEM, "x", self.LAYOUT)
        (tmp_path / THERE).unlink()
        with pytest.raises(DataError, match=r"tensor file 'blob/there\.safetensors' is unreadable"):
            _ = source.content

    def test_asking_again_costs_little(self, tmp_path: Path) -> None:
        large = torch.zeros(8 << 20, dtype=torch.int32)
        save(tmp_path, {"x": large})
        files, layout = CapturedFiles(), TensorLayout(tuple(large.shape), torch.int32)
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            _ = files.source(tmp_path / THERE, self.ITEM, "x", layout).content
            seconds.append(time.perf_counter() - start)
        assert sorted(seconds[1:])[5] < seconds[0] / 5
