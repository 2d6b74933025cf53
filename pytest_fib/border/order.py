"""What the judge orders a candidate to build and load: JSON text in a sealed memory file, judge to candidate only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pytest_fib.border.ahead import Example
from pytest_fib.border.idle import NO_WORK, Work


@dataclass(frozen=True)
class Confinement:
    """What the candidates of one keeper may see and use beside Python, its packages and the compilers.

    Attributes
    ----------
    readable
        Further files and folders to read.
    artifact_dir, build_dir
        A folder to read build products from, and one to write them to; empty for none.
    scratch_dir
        Where to write if the kernel refuses a private root; empty for nowhere.
    cuda
        Whether the devices of the NVIDIA driver are needed.
    gpu
        The node in /dev of the only GPU that is to be there; empty for all.
    without
        Names of layers of the sandbox that are not put on.
    """

    readable: tuple[str, ...] = ()
    artifact_dir: str = ""
    build_dir: str = ""
    scratch_dir: str = ""
    cuda: bool = False
    gpu: str = ""
    without: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return the confinement as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Confinement:
        """Read what ``to_text`` wrote."""
        raw = json.loads(text)
        raw["readable"], raw["without"] = tuple(raw["readable"]), tuple(raw["without"])
        return cls(**raw)


@dataclass(frozen=True)
class Order:
    """One solution as a candidate needs it: its sources and how to turn them into a callable.

    Attributes
    ----------
    language
        ``python``, ``triton``, ``cpp`` or ``cuda``; ``idle`` and ``idle_cpp`` are the judge's own.
    entry_file, entry_symbol
        The source file and the name in it (or the exported symbol) to call.
    sources
        Relative path to text; the judge has validated the paths.
    destination_passing
        Whether outputs are passed as last arguments; None to infer it from the signature.
    inputs, outputs
        Number of inputs and names of the outputs, in definition order.
    optional
        Those of the outputs that need not be returned.
    artifact_dir
        Where a build puts its product, and where a load finds it; empty where the language needs no build.
    threads
        CPU threads that the candidate may use.
    device
        Where its arguments are: ``cpu`` or ``cuda:N``, which the candidate sees as its only one.
    dependencies
        Libraries that the solution names.
    cache_dir
        Where compilers at run time keep what they made, for later candidates of this solution; empty for nowhere.
    include_paths
        Where the headers are of those among them that consist of headers.
    binding
        ``torch`` for C++ and CUDA sources that are an extension of torch; empty otherwise.
    architecture, examples
        The compute capability (``9.0``) that Triton's kernels are compiled for ahead of any call, and calls that
        show which, the smallest and the largest first; none where the solution is to be run.
    work
        What calls of the judge's own do.
    """

    language: str
    entry_file: str
    entry_symbol: str
    sources: dict[str, str]
    destination_passing: bool | None
    inputs: int
    outputs: tuple[str, ...]
    artifact_dir: str
    threads: int = 1
    device: str = "cpu"
    optional: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    cache_dir: str = ""
    include_paths: tuple[str, ...] = ()
    binding: str = ""
    architecture: str = ""
    examples: tuple[Example, ...] = ()
    work: Work = NO_WORK

    def to_text(self) -> str:
        """Return the order as JSON text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Order:
        """Read what ``to_text`` wrote."""
        raw = json.loads(text)
        for name in ("outputs", "optional", "dependencies", "include_paths"):
            raw[name] = tuple(raw[name])
        raw["examples"] = tuple(map(Example.from_json, raw["examples"]))
        raw["work"] = Work(**{**raw["work"], "requests": tuple(raw["work"]["requests"])})
        return cls(**raw)
