"""What was achieved: each layer of the sandbox is active, or there is a reason why it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

NOT_ASKED_FOR = "not asked for"


@dataclass(frozen=True)
class Layer:
    """One layer: its name, whether it holds, and if not, why (if it does, a remark or nothing)."""

    name: str
    active: bool
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """The layers of one candidate, in the order in which they were put on."""

    layers: tuple[Layer, ...] = ()

    def __add__(self, more: Iterable[Layer]) -> Report:
        return Report((*self.layers, *more))

    def active(self, name: str) -> bool:
        """Whether the layer ``name`` was put on and holds."""
        return any(layer.active for layer in self.layers if layer.name == name)

    @property
    def missing(self) -> tuple[Layer, ...]:
        """The layers that do not hold and without which the sandbox is not whole."""
        # Imported here: candidates, which never ask, have no module of the data room in their process.
        from pytest_fib.data.layers import OPTIONAL

        return tuple(layer for layer in self.layers if not layer.active and layer.name not in OPTIONAL)

    def explained_by(self, earlier: Report) -> Report:
        """Return this report with the reasons of ``earlier`` for layers that were left out because of it."""
        reasons = {layer.name: layer.reason for layer in earlier.layers if not layer.active}
        return Report(
            tuple(
                replace(layer, reason=reasons.get(layer.name, layer.reason))
                if layer.reason == NOT_ASKED_FOR
                else layer
                for layer in self.layers
            )
        )

    def to_text(self) -> str:
        """Return the report as one line of JSON."""
        return json.dumps([[layer.name, layer.active, layer.reason] for layer in self.layers])

    @classmethod
    def from_text(cls, text: str) -> Report:
        """Read what :meth:`to_text` wrote."""
        return cls(
            tuple(Layer(str(name), bool(active), str(reason)) for name, active, reason in json.loads(text))
        )


def attempt(name: str, action: Callable[[], str | None], without: frozenset[str] = frozenset()) -> Layer:
    """Put on one layer; what the kernel refuses becomes the reason, and a text that is returned the remark."""
    if name in without:
        return Layer(name, False, NOT_ASKED_FOR)
    try:
        return Layer(name, True, action() or "")
    except OSError as error:
        return Layer(name, False, error.strerror or str(error))
