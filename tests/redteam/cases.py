"""What an attack and an honest kernel are, as values; the tables of both live in ``attacks`` and ``honest``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import dedent
from typing import Literal

Layer = Literal["", "sandbox", "freeze", "mixed-requests"]
ProblemName = Literal["scale_add", "tiny", "project", "narrow", "routed"]


@dataclass(frozen=True)
class Case:
    """A solution in a few lines.

    Attributes
    ----------
    source
        The entry file: ``run`` in ``main.py``, or in ``main.cpp`` where the language is ``cpp``.
    problem
        Which definition of ``problems`` it solves.
    dps
        Whether outputs are passed as last arguments.
    files
        Further sources by path.
    entry
        Another entry point than ``main.py::run``.
    cuda
        Whether it needs an NVIDIA GPU.
    """

    name: str
    source: str
    problem: ProblemName = "scale_add"
    language: str = "python"
    dps: bool = True
    files: Mapping[str, str] | None = None
    entry: str = ""
    cuda: bool = False

    def sources(self) -> dict[str, str]:
        """Return path to text of all sources."""
        entry_file = self.entry_point.partition("::")[0]
        return {entry_file: dedent(self.source).lstrip("\n"), **(self.files or {})}

    @property
    def entry_point(self) -> str:
        """The entry point as the schema writes it."""
        return self.entry or ("main.cpp::run" if self.language == "cpp" else "main.py::run")


@dataclass(frozen=True)
class Honest(Case):
    """An honest but unusual kernel: it must pass.

    Attributes
    ----------
    compiles
        Whether every fresh process compiles for seconds before its first call: then one process makes all calls.
    """

    compiles: bool = False


@dataclass(frozen=True, kw_only=True)
class Attack(Case):
    """A kernel that wants a better verdict or number than its work deserves, or wants to do harm.

    Attributes
    ----------
    family
        Its number in the list of families (``docs/trust.md``).
    honest_path
        Whether it computes everything when the trick fails, so that PASSED with an honest latency is right.
    honest_cost_factor
        What its honest path costs, as a multiple of the plain honest kernel; only a value below 1 excuses speed.
    needs
        The layer of defence without which the attack is not run: a report that names the layer as active runs it.
    strict
        Whether only a strict run is to fail it: the official rule says nothing against it.
    patience
        ``short`` for attacks that wait for a time limit, ``alone`` for those that have to be the first of a session.
    says
        What it prints where its trick is at work: one that no longer reaches what it is after shows nothing.
    wall_s
        Seconds after which the judge must be done with it, whatever it does.
    """

    family: int
    honest_path: bool = False
    honest_cost_factor: float = 1.0
    needs: Layer = ""
    strict: bool = False
    patience: Literal["normal", "short", "alone"] = "normal"
    says: str = ""
    wall_s: float = 30.0
