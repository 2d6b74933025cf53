"""Unusual things to return, and unusual tensors to return them in."""

from __future__ import annotations

from redteam.cases import Honest

HONEST = (
    Honest(
        name="static_output_buffer",
        dps=False,
        source="""
            import torch
            buffers = {}
            def run(x, w, b):
                y = buffers.setdefault(x.shape, torch.empty(x.shape))
                return torch.addcmul(b, x, w, out=y)
            """,
    ),
    Honest(
        name="workspace_kept",
        problem="project",
        source="""
            import torch
            workspace = torch.empty(256, 256)
            def run(x, w, b, y):
                torch.mm(x, w, out=workspace)
                torch.tanh(workspace.mul_(0.0625), out=workspace)
                torch.add(b, workspace, alpha=8.0, out=y)
            """,
    ),
    Honest(
        name="inference_tensor",
        dps=False,
        source="""
            import torch
            @torch.inference_mode()
            def run(x, w, b):
                return @HONEST@
            """,
    ),
    Honest(
        name="parameter",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return torch.nn.Parameter(@HONEST@)
            """,
    ),
    Honest(
        name="requires_grad",
        dps=False,
        source="""
            import torch
            scale = torch.nn.Parameter(torch.ones(()))
            def run(x, w, b):
                return torch.addcmul(b, x, w * scale)
            """,
    ),
    Honest(
        name="strided_output",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return torch.addcmul(b[:, None], x.T, w[:, None]).T
            """,
    ),
    Honest(
        name="float64_inside",
        problem="project",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return (torch.tanh(x.double() @ w.double() * 0.0625) * 8.0 + b.double()).float()
            """,
    ),
    Honest(
        name="dict",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return {"y": @HONEST@, "workspace": x}
            """,
    ),
    Honest(
        name="list",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return [@HONEST@]
            """,
    ),
    Honest(
        name="named_tuple",
        dps=False,
        source="""
            import typing, torch
            class Result(typing.NamedTuple):
                y: torch.Tensor
            def run(x, w, b):
                return Result(@HONEST@)
            """,
    ),
    Honest(
        name="harmless_subclass",
        dps=False,
        source="""
            import torch
            class Named(torch.Tensor):
                label = "result"
            def run(x, w, b):
                return (@HONEST@).as_subclass(Named)
            """,
    ),
    Honest(
        name="numpy_inside",
        source="""
            import numpy
            def run(x, w, b, y):
                out = y.numpy()
                numpy.multiply(x.numpy(), w.numpy(), out=out)
                out += b.numpy()
            """,
    ),
    Honest(
        name="returns_its_output_as_well",
        source="""
            import torch
            def run(x, w, b, y):
                return @HONEST@
            """,
    ),
    Honest(
        name="generator_inside",
        dps=False,
        source="""
            import torch
            def rows(x, w, b):
                for row in x:
                    yield row * w + b
            def run(x, w, b):
                return torch.stack(list(rows(x, w, b)))
            """,
    ),
)
