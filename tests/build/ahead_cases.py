"""Solutions for ``test_ahead.py``: what ``compile_ahead.py`` is to compile, by name."""

from __future__ import annotations

import textwrap
from typing import Any

_IMPORTS = "import torch\nimport triton\nimport triton.language as tl\n"
_TWICE = """\
@triton.jit
def twice(x_ptr, y_ptr, WIDTH: tl.constexpr):
    at = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    tl.store(y_ptr + at, 2 * tl.load(x_ptr + at))
"""


def _source(text: str) -> dict[str, str]:
    """A file with ``text``, and with the kernel ``twice`` if that is spoken of."""
    return {"main.py": _IMPORTS + _TWICE * ("twice" in text) + textwrap.dedent(text)}


def _files(inner: str) -> dict[str, str]:
    """A kernel in a second file that calls a function in a third."""
    head = "import triton\nimport triton.language as tl\nfrom . import parts\n"
    outer = "@triton.jit\ndef outer(x_ptr, y_ptr):\n    tl.store(y_ptr, parts.inner(tl.load(x_ptr)))\n"
    return {
        "main.py": "from . import kernels\n\ndef run(x, y):\n    kernels.outer[(1,)](x, y)\n",
        "kernels.py": head + outer,
        "parts.py": f"import triton\n\n@triton.jit\ndef inner(x):\n    return {inner}\n",
    }


SOURCES = {
    "fine": _source(
        """
        def run(x, y):
            twice[(len(x),)](x, y, WIDTH=64)
        """
    ),
    "name_in_a_helper": _source(
        """
        @triton.jit
        def helper(value):
            return value + nowhere

        @triton.jit
        def calls_it(x_ptr, y_ptr):
            tl.store(y_ptr, helper(tl.load(x_ptr)))

        def run(x, y):
            calls_it[(1,)](x, y)
        """
    ),
    "global_variable": _source(
        """
        FACTOR = 3

        @triton.jit
        def scaled(x_ptr, y_ptr):
            tl.store(y_ptr, tl.load(x_ptr) * FACTOR)

        def run(x, y):
            scaled[(1,)](x, y)
        """
    ),
    "shapes_of_dot": _source(
        """
        @triton.jit
        def product(x_ptr, y_ptr):
            i = tl.arange(0, 16)
            a = tl.load(x_ptr + i[:, None] * 64 + i[None, :])
            b = tl.zeros((32, 32), tl.float32)
            tl.store(y_ptr + i[:, None] * 64 + i[None, :], tl.dot(a, b))

        def run(x, y):
            product[(1,)](x, y)
        """
    ),
    "assembly": _source(
        """
        @triton.jit
        def assembled(y_ptr):
            i = tl.arange(0, 64)
            v = tl.inline_asm_elementwise("bogus $0, $1;", "=r,r", [i], dtype=tl.int32, is_pure=True, pack=1)
            tl.store(y_ptr + i, v)

        def run(x, y):
            assembled[(1,)](y)
        """
    ),
    "missing_argument": _source(
        """
        def run(x, y):
            twice[(len(x),)](x, y)
        """
    ),
    "shared_memory": _source(
        """
        @triton.jit
        def greedy(x_ptr, y_ptr, count):
            i = tl.arange(0, 128)
            at = i[:, None] * 128 + i[None, :]
            total = tl.zeros((128, 128), tl.float32)
            for k in range(count):
                total = tl.dot(tl.load(x_ptr + k * 16384 + at), tl.load(x_ptr + k * 32768 + at), total)
            tl.store(y_ptr + at, total)

        def run(x, y):
            greedy[(1,)](x, y, 7, num_stages=3)
        """
    ),
    "raised_again": _source(
        """
        def run(x, y):
            try:
                twice[(len(x),)](x, y, WIDTH=63)
            except Exception as error:
                raise ValueError("there is something wrong") from error
        """
    ),
    "dealt_with": _source(
        """
        def run(x, y):
            try:
                twice[(len(x),)](x, y, WIDTH=63)
            except Exception:
                y.copy_(x)
        """
    ),
    "tuned": _source(
        """
        @triton.autotune([triton.Config({"WIDTH": width}) for width in (16, 64, 32, 48)], key=["count"])
        @triton.jit
        def tuned(x_ptr, y_ptr, count, WIDTH: tl.constexpr):
            tl.static_assert(WIDTH > 16)
            if WIDTH == 32:
                nowhere()
            at = tl.arange(0, WIDTH)
            tl.store(y_ptr + at, tl.load(x_ptr + at, mask=at < count), mask=at < count)

        def run(x, y):
            tuned[lambda meta: (triton.cdiv(x.numel(), meta["WIDTH"]),)](x, y, x.numel())
        """
    ),
    "tuned_in_vain": _source(
        """
        @triton.autotune([triton.Config({"WIDTH": width}) for width in (16, 32)], key=["count"])
        @triton.jit
        def vain(x_ptr, y_ptr, count, WIDTH: tl.constexpr):
            tl.static_assert(WIDTH > 32)

        def run(x, y):
            vain[(1,)](x, y, x.numel())
        """
    ),
    "heuristics": _source(
        """
        @triton.heuristics({"WIDTH": lambda arguments: triton.next_power_of_2(arguments["count"])})
        @triton.jit
        def guessed(x_ptr, y_ptr, count, WIDTH: tl.constexpr):
            at = tl.arange(0, WIDTH)
            tl.store(y_ptr + at, tl.load(x_ptr + at, mask=at < count), mask=at < count)

        def run(x, y):
            guessed[(1,)](x, y, x.shape[1])
        """
    ),
    "default_device": _source(
        """
        torch.set_default_device("cuda")

        def run(x, y):
            scratch = torch.empty(4, 64)
            assert scratch.is_cuda
            twice[(1,)](scratch, y, WIDTH=64)
        """
    ),
    "descriptor": _source(
        """
        from triton.tools.tensor_descriptor import TensorDescriptor

        @triton.jit
        def tiles(source, target):
            target.store([0, 0], source.load([0, 0]))

        def run(x, y):
            tiles[(1,)](*(TensorDescriptor.from_tensor(tensor, [4, 32]) for tensor in (x, y)))
        """
    ),
    "specialised": _source(
        """
        @triton.jit
        def shown(x_ptr, count, one):
            tl.store(x_ptr, count + one)

        def kinds(kernel):
            text = kernel.asm["ttir"].partition("tt.func")[2].partition("{\\n")[0]
            return text.count("tt.divisibility"), text.count("%")

        def run(x, y):
            flat = x.view(-1)
            assert kinds(shown[(1,)](flat, 32, 1)) == (2, 2)
            assert kinds(shown[(1,)](flat, 33, 2)) == (1, 3)
            assert kinds(shown[(1,)](flat[1:], 33, 2)) == (0, 3)
            assert kinds(shown[(1,)](flat[4:], 33, 2)) == (1, 3)
        """
    ),
    "reads": _source(
        """
        def run(x, y):
            rows = int(x.sum().item())
            twice[(rows,)](x, y, WIDTH=64)
        """
    ),
    "reads_and_fails": _source(
        """
        def run(x, y):
            width = x.long().flatten().tolist()[2]
            twice[(1,)](x, y, WIDTH=width)
        """
    ),
    "reads_sizes": _source(
        """
        def run(x, y):
            chosen = x[x[:, 0] > 0]
            assert chosen.is_cuda and len(torch.unique(x)) and x.cpu().numpy().sum()
            for rows in (x[:, 0] > 0).nonzero().flatten().tolist():
                twice[(rows,)](chosen, y, WIDTH=64)
        """
    ),
    "reads_behind": _source(
        """
        def run(x, y):
            twice[(1,)](x, y, WIDTH=64)
            y.copy_(y * y.max().item())
        """
    ),
    "waits_for_ever": _source(
        """
        def run(x, y):
            while x.sum() > 0:
                pass
            twice[(1,)](x, y, WIDTH=64)
        """
    ),
    "stops": _source(
        """
        def run(x, y):
            x.numpy()
            twice[(1,)](x, y, WIDTH=64)
        """
    ),
    "stops_behind": _source(
        """
        def run(x, y):
            twice[(1,)](x, y, WIDTH=64)
            raise SystemExit("enough")
        """
    ),
    "never_launched": _source(
        """
        @triton.jit
        def part(x):
            return x

        @triton.jit
        def spare(x_ptr):
            tl.store(x_ptr, part(tl.load(x_ptr)))

        def run(x, y):
            twice[(1,)](x, y, WIDTH=64)
        """
    ),
    "wants_the_driver": _source(
        """
        def run(x, y):
            twice[(1,)](x, y, WIDTH=64)
            triton.runtime.driver.active.launcher_cls
        """
    ),
    "two_files": _files("x + nowhere"),
    "two_good_files": _files("x + 1"),
    "asks_the_device": _source(
        """
        TABLE = torch.arange(4, device="cuda")

        def run(x, y):
            assert torch.cuda.is_available() and x.is_cuda and not x.is_meta and TABLE.device == x.device
            assert x.device == torch.device("cuda", 0) and x.get_device() == torch.cuda.current_device() == 0
            assert torch.cuda.get_device_properties(x.device).multi_processor_count > 1
            assert torch.cuda.get_device_capability() == (9, 0)
            assert triton.runtime.driver.active.get_current_target().arch == 90
            assert triton.runtime.driver.active.utils.get_device_properties(0)["multiprocessor_count"] > 1
            assert triton.testing.do_bench(lambda: twice[(1,)](x, y, WIDTH=64)) > 0
            assert x.data_ptr() % 16 == 0 and x.flatten()[1:].data_ptr() % 16 == 4
            with torch.cuda.device(x.device), torch.cuda.stream(torch.cuda.Stream()), torch.inference_mode():
                torch.cuda.synchronize()
                scratch = torch.zeros(4, 64, device=x.device) + torch.ones(64).cuda() + x.new_ones(4, 64)
                scratch[1:] = torch.empty_like(x).to("cuda", torch.float32)[1:]
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    scratch = torch.compile(torch.nn.Linear(64, 64).cuda())(scratch)
                assert scratch.is_cuda and torch.arange(4).tolist() == [0, 1, 2, 3]
                assert torch.tensor([[1, 2]], device=0).to(x.device, non_blocking=True).shape == (1, 2)
                assert torch.empty(3, pin_memory=True).to("cuda").is_cuda
            twice[(1,)](x, y, WIDTH=64)
        """
    ),
}

_AT_SEVEN_ROWS = _source(
    """
    def run(x, y):
        if len(x) == 7:
            twice[(1,)](x, y, WIDTH=64)
    """
)

CASES: dict[str, dict[str, Any]] = {
    **{name: {"sources": sources} for name, sources in SOURCES.items()},
    "python": {"sources": SOURCES["fine"], "language": "python"},
    "python_without_kernels": {
        "sources": {"main.py": "# no triton here\ndef run(x, y):\n    x.numpy()\n"},
        "language": "python",
    },
    "triton_without_kernels": {"sources": {"main.py": "def run(x, y):\n    y.copy_(x)\n"}},
    "older": {"sources": SOURCES["shapes_of_dot"], "architecture": "8.0"},
    "launched_for_the_third": {"sources": _AT_SEVEN_ROWS, "rows": [1, 100, 7]},
    "launched_for_none": {"sources": _AT_SEVEN_ROWS, "rows": [1, 100, 8]},
    "launched_for_the_first": {"sources": SOURCES["reads"], "rows": [4, 5, 6]},
}
