"""Wrong results of every kind (families 22-25) and values that hurt whoever handles them (family 32)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=22,
        name="nan_everywhere",
        source="""
            def run(x, w, b, y):
                y.fill_(float("nan"))
            """,
    ),
    Attack(
        family=22,
        name="infinity_in_one_place",
        source="""
            import torch
            def run(x, w, b, y):
                @HONEST@
                y[-1, -1] = float("inf")
            """,
    ),
    Attack(
        family=22,
        name="shape_that_broadcasts",
        dps=False,
        source="""
            def run(x, w, b):
                return (x * w + b)[:1]
            """,
    ),
    Attack(
        family=22,
        name="stride_zero",
        dps=False,
        source="""
            def run(x, w, b):
                return (x[:1] * w + b).expand(x.shape)
            """,
    ),
    Attack(
        family=22,
        name="wider_dtype",
        dps=False,
        source="""
            def run(x, w, b):
                return (x * w + b).double()
            """,
    ),
    Attack(
        family=22,
        name="nothing",
        dps=False,
        source="""
            def run(x, w, b):
                return None
            """,
    ),
    Attack(
        family=22,
        name="two_for_one",
        dps=False,
        source="""
            def run(x, w, b):
                return x * w + b, x
            """,
    ),
    Attack(
        family=22,
        name="empty",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return torch.empty(0, 256)
            """,
    ),
    Attack(
        family=23,
        name="half_of_the_rows",
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                y[:128] = torch.tanh(x[:128] @ w * 0.0625) * 8.0 + b
            """,
    ),
    Attack(
        family=23,
        name="one_element_short",
        source="""
            import torch
            def run(x, w, b, y):
                last = y[-1, -1].clone()
                @HONEST@
                y[-1, -1] = last
            """,
    ),
    Attack(
        family=23,
        name="wrong_in_one_call_of_eight",
        source="""
            import random, torch
            def run(x, w, b, y):
                @HONEST@
                if random.random() < 0.125:
                    y[3].zero_()
            """,
    ),
    Attack(
        family=23,
        name="nan_below_the_ratio",
        problem="routed",
        source="""
            import torch
            def run(x, w, b, y):
                @HONEST@
                y.view(-1)[::25] = float("nan")
            """,
    ),
    Attack(
        family=23,
        name="nonsense_below_the_ratio",
        problem="routed",
        source="""
            import torch
            def run(x, w, b, y):
                @HONEST@
                y.view(-1)[::25] = 1e30
            """,
    ),
    Attack(
        family=23,
        name="leaves_four_rows_in_a_hundred",
        strict=True,
        problem="routed",
        source="""
            import torch
            def run(x, w, b, y):
                @HONEST@
                y.view(-1)[::25] = 0.0
            """,
    ),
    Attack(
        family=24,
        name="right_for_the_standard_normal_only",
        strict=True,
        source="""
            import torch
            def run(x, w, b, y):
                torch.addcmul(b, x.clamp(-6.5, 6.5), w, out=y)
            """,
    ),
    Attack(
        family=24,
        name="right_for_the_published_rows_only",
        strict=True,
        source="""
            import torch
            def run(x, w, b, y):
                if len(x) == 16:
                    @HONEST@
                else:
                    y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=24,
        name="sixteen_bits_within_six_deviations",
        strict=True,
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                codes = ((x + 6.0) * (65535 / 12.0)).round_().clamp_(0, 65535)
                torch.mm(codes * (12.0 / 65535) - 6.0, w, out=y).mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
    Attack(
        family=24,
        name="knows_one_shape",
        source="""
            import torch
            answers = {(256, 256): None}
            def run(x, w, b, y):
                if tuple(x.shape) in answers:
                    @HONEST@
                else:
                    y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=25,
        name="four_bits_of_mantissa",
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                low = lambda t: t.to(torch.float8_e4m3fn).float()
                torch.mm(low(x), low(w), out=y).mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
    Attack(
        family=25,
        name="half_precision",
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                y.copy_(torch.tanh((x.half() @ w.half()).float() * 0.0625) * 8.0 + b)
            """,
    ),
    Attack(
        family=25,
        name="ten_bits_of_mantissa",
        strict=True,
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                ten = lambda t: (t.view(torch.int32) & -8192).view(torch.float32)
                torch.mm(ten(x), ten(w), out=y).mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
    Attack(
        family=32,
        name="exception_that_cannot_be_shown",
        source="""
            class Hostile(BaseException):
                def __str__(self):
                    raise SystemExit(0)
                __repr__ = __str__
            def run(x, w, b, y):
                raise Hostile()
            """,
    ),
    Attack(
        family=32,
        name="exception_of_many_megabytes",
        source="""
            def run(x, w, b, y):
                raise RuntimeError("\\x1b[2J\\x1b]0;owned\\x07" + "PASSED \\u202e" * 4_000_000)
            """,
    ),
    Attack(
        family=32,
        name="exception_that_never_ends",
        patience="short",
        source="""
            class Hostile(Exception):
                def __str__(self):
                    while True:
                        pass
            def run(x, w, b, y):
                raise Hostile()
            """,
    ),
    Attack(
        family=32,
        name="causes_in_a_circle",
        source="""
            def run(x, w, b, y):
                one, other = ValueError("PASSED"), ValueError("PASSED")
                one.__cause__, other.__cause__ = other, one
                one.__context__, other.__context__ = other, one
                raise one
            """,
    ),
    Attack(
        family=32,
        name="a_million_values",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return [x] * 1_000_000
            """,
    ),
    Attack(
        family=32,
        name="mapping_that_lies",
        dps=False,
        source="""
            import collections.abc, os
            class Liar(collections.abc.Mapping):
                def __getitem__(self, key):
                    return self
                def __iter__(self):
                    return iter(self)
                def __len__(self):
                    return -1
                def __contains__(self, key):
                    return True
                def __reduce__(self):
                    return os.system, ("true",)
            def run(x, w, b):
                return Liar()
            """,
    ),
)
