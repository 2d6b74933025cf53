"""The rotary embedding against complex multiplication in float64."""

from __future__ import annotations

import numpy as np
import torch

from .conftest import Reference, normal

NAME = "rope_with_cos_sin_cache_neox_style_d64_rd32"


def test_pairs_of_channels_turn_like_complex_numbers_and_the_others_stay(reference: Reference) -> None:
    q, k = normal(1, 6, 3, 64), normal(2, 6, 2, 64)
    angles = np.random.default_rng(3).uniform(-9, 9, (11, 16))
    cache = torch.from_numpy(np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).to(torch.float32)
    positions = [10, 0, 3, 3, 9, 1]
    outputs = reference(NAME)["run"](q=q, k=k, cos_sin_cache=cache, positions=torch.tensor(positions))
    for x, got in zip((q, k), outputs, strict=True):
        assert got.dtype == torch.bfloat16
        assert torch.equal(got[..., 32:], x[..., 32:])
        for t, position in enumerate(positions):
            for i in range(16):
                pair = x[t, :, i].double().numpy() + 1j * x[t, :, i + 16].double().numpy()
                turned = pair * np.exp(1j * angles[position, i])
                np.testing.assert_allclose(got[t, :, i].double(), turned.real, rtol=2.0**-8, atol=1e-6)
                np.testing.assert_allclose(got[t, :, i + 16].double(), turned.imag, rtol=2.0**-8, atol=1e-6)


def test_the_first_position_changes_nothing(reference: Reference) -> None:
    q, k = normal(1, 2, 1, 64), normal(2, 2, 1, 64)
    cache = torch.cat([torch.ones(1, 16), torch.zeros(1, 16)], dim=1)
    q_out, k_out = reference(NAME)["run"](
        q=q, k=k, cos_sin_cache=cache, positions=torch.zeros(2, dtype=torch.int64)
    )
    assert torch.equal(q_out, q)
    assert torch.equal(k_out, k)


def test_no_tokens(reference: Reference) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    q_out, k_out = reference(NAME)["run"](
        q=normal(1, 0, 4, 64), k=normal(2, 0, 2, 64), cos_sin_cache=torch.zeros(0, 32), positions=none
    )
    assert (q_out.shape, k_out.shape) == ((0, 4, 64), (0, 2, 64))
