"""Mamba's state update: its reference against loops in float64, and its interfaces."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytest_fib.data.readers import read_definition

TRACESETS = Path(__file__).resolve().parents[2] / "tracesets"
HEADS, CHANNELS, STATES, GROUPS = 4, 16, 32, 2
MINI = (
    TRACESETS / f"mini/definitions/mamba_ssu/mamba_ssu_decode_h{HEADS}_d{CHANNELS}_s{STATES}_ng{GROUPS}.json"
)


def run() -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(read_definition(MINI).reference, namespace)
    function: Callable[..., Any] = namespace["run"]
    return function


def inputs(slots: int, places: list[int]) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).to(torch.bfloat16)

    batch = len(places)
    return {
        "state": normal(slots, HEADS, CHANNELS, STATES),
        "x": normal(batch, HEADS, CHANNELS),
        "dt": normal(batch, HEADS, CHANNELS),
        "A": -normal(HEADS, CHANNELS, STATES).float().exp(),
        "B": normal(batch, GROUPS, STATES),
        "C": normal(batch, GROUPS, STATES),
        "D": normal(HEADS, CHANNELS),
        "dt_bias": normal(HEADS, CHANNELS),
        "state_batch_indices": torch.tensor(places, dtype=torch.int32),
    }


@pytest.mark.parametrize(
    ("slots", "places"),
    [(3, [2, 0, 1]), (6, [4, -1, 0, -3]), (2, [-1]), (2, []), (0, [-1, -1])],
    ids=["all", "padding", "nothing-real", "empty", "no-cache"],
)
def test_each_slot_of_the_batch_is_updated_and_read(slots: int, places: list[int]) -> None:
    tensors = inputs(slots, places)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    output, new_state = run()(**tensors)
    assert all(torch.equal(tensors[name], before[name]) for name in tensors)

    x = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    expected, expected_state = np.zeros((len(places), HEADS, CHANNELS)), x["state"].copy()
    for b, slot in enumerate(places):
        for head in range(HEADS if slot >= 0 else 0):
            group = head // (HEADS // GROUPS)
            for c in range(CHANNELS):
                delta = math.log1p(math.exp(x["dt"][b, head, c] + x["dt_bias"][head, c]))
                expected[b, head, c] = x["D"][head, c] * x["x"][b, head, c]
                for n in range(STATES):
                    kept = expected_state[slot, head, c, n] * math.exp(delta * x["A"][head, c, n])
                    updated = kept + delta * x["x"][b, head, c] * x["B"][b, group, n]
                    expected_state[slot, head, c, n] = updated
                    expected[b, head, c] += updated * x["C"][b, group, n]
    for got, wanted in ((output, expected), (new_state, expected_state)):
        assert got.dtype == torch.bfloat16
        np.testing.assert_allclose(got.double().numpy(), wanted, rtol=2.0**-8, atol=1e-5)


def test_slots_of_no_sequence_stay_bit_for_bit() -> None:
    tensors = inputs(6, [4, -1, 0])
    _, new_state = run()(**tensors)
    for slot in (1, 2, 3, 5):
        assert torch.equal(new_state[slot], tensors["state"][slot])


def test_definitions_have_the_official_interfaces(shared_dataset: Path) -> None:
    found = sorted((shared_dataset / "interfaces" / "mamba_ssu").glob("*.json"))
    ours = {path.stem: path for path in (TRACESETS / "flashinfer/definitions/mamba_ssu").glob("*.json")}
    assert ours.keys() == {path.stem for path in found}
    small = read_definition(MINI)
    for path in found:
        theirs, definition = read_definition(path), read_definition(ours[path.stem])
        for field in ("name", "op_type", "axes", "inputs", "outputs", "constraints"):
            assert getattr(definition, field) == getattr(theirs, field), path.stem
        assert list(definition.inputs) == list(theirs.inputs)
        for field in ("op_type", "inputs", "outputs", "constraints"):
            assert getattr(small, field) == getattr(theirs, field)
