"""Compiling Triton's kernels ahead of any call: for which arguments, and what the candidate says came of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

# The whole answer has to fit in one message, though JSON may spell a character in six.
MOST_KERNELS = 64
MOST_REMARKS = 10
_NAME_CHARACTERS = 80
_REMARK_CHARACTERS = 500
NOTE_BYTES = 512  # of the page on which the candidate notes which kernel it is at


@dataclass(frozen=True)
class Like:
    """A contiguous tensor of which nothing but shape and dtype is known."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Example:
    """The arguments of a call as far as they are known without content, in the definition's order."""

    inputs: tuple[Like | int | float | bool, ...]
    outputs: tuple[Like, ...]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Example:
        """Read what ``dataclasses.asdict`` and JSON made of an example (the judge is the only sender)."""
        inputs = (_like(item) if isinstance(item, dict) else item for item in raw["inputs"])
        return cls(tuple(inputs), tuple(map(_like, raw["outputs"])))


@dataclass(frozen=True)
class Compiled:
    """What a candidate says it compiled, and what it has to remark on; the judge shows it and believes nothing."""

    kernels: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def to_text(self) -> str:
        """Return this as JSON text that fits in a message."""
        short = Compiled(
            tuple(name[:_NAME_CHARACTERS] for name in self.kernels[:MOST_KERNELS]),
            tuple(remark[:_REMARK_CHARACTERS] for remark in self.remarks[:MOST_REMARKS]),
        )
        return json.dumps(asdict(short), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Compiled:
        """Read what ``to_text`` wrote, or somebody who pretends to be it.

        Raises
        ------
        ValueError
            If it is anything else.
        """
        try:
            raw = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(raw, dict) or raw.keys() != {"kernels", "remarks"}:
            raise ValueError("not an object of kernels and remarks")
        return cls(_texts(raw["kernels"], MOST_KERNELS), _texts(raw["remarks"], MOST_REMARKS))


def _texts(value: Any, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(item, str) for item in value):
        raise ValueError("not a list of texts")
    return tuple(value)


def _like(raw: dict[str, Any]) -> Like:
    return Like(tuple(raw["shape"]), raw["dtype"])
