"""Multi-head latent attention of one sequence."""

from __future__ import annotations

import torch

from .attention import attend_causal


def attend_latent(
    q_nope: torch.Tensor, q_pe: torch.Tensor, ckv: torch.Tensor, kpe: torch.Tensor, sm_scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attend causally from q_nope [nq, heads, c] and q_pe [nq, heads, p] to ckv [nk, c] and kpe [nk, p].

    All heads share the keys ``[ckv_j; kpe_j]`` and the values ``ckv_j``. Returns output [nq, heads, c] and lse
    (base 2) [nq, heads] float32, as ``attend_causal`` does.
    """
    q = torch.cat([q_nope, q_pe], dim=-1)
    k = torch.cat([ckv, kpe], dim=-1)
    return attend_causal(q, k.unsqueeze(1), ckv.unsqueeze(1), sm_scale)
