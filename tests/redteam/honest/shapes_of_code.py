"""Unusual ways to arrange code: packages, partials, instances, fallbacks, first-call work, caches."""

from __future__ import annotations

from redteam.cases import Honest

HONEST = (
    Honest(
        name="package_with_relative_imports",
        entry="kernels/entry.py::run",
        files={
            "kernels/__init__.py": "from .constants import SCALE\n",
            "kernels/constants.py": "SCALE = 1.0\n",
            "kernels/ops/__init__.py": "\n",
            "kernels/ops/add.py": (
                "import torch\nfrom ..constants import SCALE\n\ndef add(x, w, b, y):\n"
                "    torch.addcmul(b, x, w, value=SCALE, out=y)\n"
            ),
        },
        source="""
            from .ops.add import add
            def run(x, w, b, y):
                add(x, w, b, y)
            """,
    ),
    Honest(
        name="sibling_import",
        files={"helper.py": "import torch\n\ndef add(x, w, b, y):\n    torch.addcmul(b, x, w, out=y)\n"},
        source="""
            from helper import add
            def run(x, w, b, y):
                add(x, w, b, y)
            """,
    ),
    Honest(
        name="sibling_called_utils",
        files={"utils.py": "VALUE = 1.0\n", "config.py": "from utils import VALUE\n"},
        source="""
            import torch
            def run(x, w, b, y):
                import config
                torch.addcmul(b, x, w, value=config.VALUE, out=y)
            """,
    ),
    Honest(
        name="partial",
        source="""
            import functools, torch
            def scaled(value, x, w, b, y):
                torch.addcmul(b, x, w, value=value, out=y)
            run = functools.partial(scaled, 1.0)
            """,
    ),
    Honest(
        name="callable_instance",
        source="""
            import torch
            class Kernel:
                def __init__(self, value):
                    self.value = value
                def __call__(self, x, w, b, y):
                    torch.addcmul(b, x, w, value=self.value, out=y)
            run = Kernel(1.0)
            """,
    ),
    Honest(
        name="static_method",
        entry="main.py::Kernel.run",
        source="""
            import torch
            class Kernel:
                @staticmethod
                def run(x, w, b, y):
                    @HONEST@
            """,
    ),
    Honest(
        name="module",
        dps=False,
        source="""
            import torch
            class Layer(torch.nn.Module):
                def forward(self, x, w, b):
                    return @HONEST@
            run = Layer().eval()
            """,
    ),
    Honest(
        name="variadic",
        source="""
            import torch
            def run(*tensors):
                x, w, b, y = tensors
                @HONEST@
            """,
    ),
    Honest(
        name="falls_back",
        source="""
            import torch
            try:
                from cuda_only import kernel
            except ImportError:
                kernel = None
            def run(x, w, b, y):
                try:
                    kernel(x, w, b, y)
                except TypeError:
                    pass
                if torch.cuda.is_available() and x.is_cuda:
                    torch.cuda.synchronize()
                @HONEST@
            """,
    ),
    Honest(
        name="tunes_itself_on_the_first_call",
        problem="project",
        source="""
            import time, torch
            chosen = {}
            def straight(x, w, b, y):
                @HONEST@
            def in_blocks(x, w, b, y):
                for start in range(0, len(x), 64):
                    rows = slice(start, start + 64)
                    straight(x[rows], w, b, y[rows])
            def cost(kernel, *tensors):
                start = time.perf_counter()
                for _ in range(5):
                    kernel(*tensors)
                return time.perf_counter() - start
            def run(x, w, b, y):
                key = tuple(x.shape)
                if key not in chosen:
                    chosen[key] = min((straight, in_blocks), key=lambda kernel: cost(kernel, x, w, b, y))
                chosen[key](x, w, b, y)
            """,
    ),
    Honest(
        name="lazy_import",
        source="""
            def run(x, w, b, y):
                import fractions, torch, torch.nn.functional
                @HONEST@
            """,
    ),
    Honest(
        name="plan_by_shape",
        source="""
            import functools, torch
            @functools.lru_cache(maxsize=None)
            def plan(shape, strides):
                return [slice(start, start + 8) for start in range(0, shape[0], 8)]
            def run(x, w, b, y):
                for rows in plan(x.shape, x.stride()):
                    torch.addcmul(b, x[rows], w, out=y[rows])
            """,
    ),
    Honest(
        name="weights_packed_by_content",
        problem="project",
        source="""
            import hashlib, torch
            packed = {}
            def run(x, w, b, y):
                key = hashlib.blake2b(w.numpy().tobytes()).digest()
                if key not in packed:
                    packed.clear()
                    packed[key] = (w * 0.0625).contiguous()
                torch.mm(x, packed[key], out=y).tanh_().mul_(8.0).add_(b)
            """,
    ),
    Honest(
        name="slow_on_the_first_call",
        source="""
            import time, torch
            warm = []
            def run(x, w, b, y):
                if not warm:
                    time.sleep(0.2)
                    warm.append(True)
                @HONEST@
            """,
    ),
    Honest(
        name="uses_its_output_as_workspace",
        problem="project",
        source="""
            import torch
            def run(x, w, b, y):
                y.zero_()
                for start in range(0, 256, 64):
                    y.addmm_(x[:, start:start + 64], w[start:start + 64])
                y.mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
)
