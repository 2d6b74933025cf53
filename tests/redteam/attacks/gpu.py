"""What only a GPU can do: other streams and devices, resident kernels, broken contexts (families 15, 16 and 37)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=16,
        name="side_stream",
        problem="project",
        cuda=True,
        source="""
            import torch
            side = torch.cuda.Stream()
            def run(x, w, b, y):
                with torch.cuda.stream(side):
                    @HONEST@
            """,
    ),
    Attack(
        family=16,
        name="stream_that_waits_before_it_works",
        problem="project",
        cuda=True,
        source="""
            import torch
            side = torch.cuda.Stream()
            def run(x, w, b, y):
                with torch.cuda.stream(side):
                    torch.cuda._sleep(3_000_000)
                    @HONEST@
            """,
    ),
    Attack(
        family=15,
        name="second_gpu",
        problem="project",
        cuda=True,
        source="""
            import os
            os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3,4,5,6,7"
            import torch
            def run(x, w, b, y):
                x, w, b = (tensor.to("cuda:1") for tensor in (x, w, b))
                y.copy_(torch.tanh(x @ w * 0.0625) * 8.0 + b)
            """,
    ),
    Attack(
        family=37,
        name="kernel_that_stays_on_the_device",
        problem="project",
        cuda=True,
        honest_path=True,
        source="""
            import torch
            side = torch.cuda.Stream()
            def run(x, w, b, y):
                @HONEST@
                with torch.cuda.stream(side):
                    torch.cuda._sleep(2_000_000_000)
            """,
    ),
)
