"""Inputs that the definition makes itself: ``custom_inputs_entrypoint`` in the source of its reference.

The code comes with the dataset and is trusted, as the reference is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from pytest_fib.data.definition import Definition
from pytest_fib.data.text import escape
from pytest_fib.errors import DataError
from pytest_fib.inputs.keys import Stream
from pytest_fib.inputs.sources import Drawing, Source, TensorLayout

Entry = Callable[[dict[str, Any], torch.device], Mapping[str, Any]]


class CustomInputs:
    """All custom inputs of one workload; the entry point runs once per call.

    Its random numbers come from the global generators, which are seeded from the secret for it and put back
    afterwards. (torch keeps 32 bits of a seed on CPU, so these inputs are less secret than drawn ones.)
    """

    def __init__(self, definition: Definition, known: Mapping[str, Any], stream: Stream) -> None:
        self._definition = definition.name
        self._entry = _entry(definition)
        self._known = dict(known)
        self._stream = stream

    def source(self, name: str, layout: TensorLayout) -> Source:
        """Return the source of one of the inputs."""
        return _CustomInput(self, name, layout)

    def content(self, call: int) -> Mapping[str, Any]:
        """Return what the entry point makes for this call.

        Raises
        ------
        DataError
            It raises, or does not return a dictionary.
        """
        with _seeded(self._stream.digest(call)):
            try:
                made = self._entry(dict(self._known), torch.device("cpu"))
            except Exception as error:  # the dataset's code may raise anything
                raise DataError(
                    f"custom_inputs_entrypoint of definition '{escape(self._definition, 80)}' raised "
                    f"{type(error).__name__}: {escape(str(error))}; correct the definition"
                ) from error
        if not isinstance(made, Mapping):
            raise DataError(
                f"custom_inputs_entrypoint of definition '{escape(self._definition, 80)}' returned "
                f"{type(made).__name__}; it should return a dictionary of tensors by input name"
            )
        return made


class _CustomInput(Source):
    def __init__(self, inputs: CustomInputs, name: str, layout: TensorLayout) -> None:
        self._inputs = inputs
        self._name = name
        self._layout = layout

    def draw(self, drawing: Drawing, out: torch.Tensor | None) -> torch.Tensor:
        """Take this input out of what the entry point made for the call."""
        if self._inputs not in drawing.shared:
            drawing.shared[self._inputs] = self._inputs.content(drawing.call)
        tensor = self._checked(drawing.shared[self._inputs].get(self._name))
        return tensor if out is None else out.copy_(tensor)

    def _checked(self, value: Any) -> torch.Tensor:
        found = type(value).__name__
        if isinstance(value, torch.Tensor):
            layout = TensorLayout(tuple(value.shape), value.dtype)
            if layout == self._layout:
                return value.detach().cpu().contiguous()
            found = str(layout)
        raise DataError(
            f"custom_inputs_entrypoint made {found} for input '{escape(self._name, 60)}', which should be "
            f"{self._layout}; correct the definition"
        )


def _entry(definition: Definition) -> Entry:
    name = definition.custom_inputs_entrypoint
    if not name:
        raise DataError(
            f"definition '{escape(definition.name, 80)}' has no custom_inputs_entrypoint, which custom "
            "inputs need; name the function in the definition"
        )
    namespace: dict[str, Any] = {"__name__": "fib_custom_inputs"}
    try:
        exec(
            compile(definition.reference, f"<reference of {escape(definition.name, 80)}>", "exec"), namespace
        )
    except Exception as error:  # the dataset's code may raise anything
        raise DataError(
            f"the reference of definition '{escape(definition.name, 80)}' raised {type(error).__name__} when "
            f"loaded: {escape(str(error))}; correct it"
        ) from error
    entry = namespace.get(name)
    if not callable(entry):
        raise DataError(
            f"the reference of definition '{escape(definition.name, 80)}' has no function "
            f"'{escape(name, 60)}', which custom_inputs_entrypoint names; add it"
        )
    found: Entry = entry
    return found


@contextmanager
def _seeded(digest: bytes) -> Iterator[None]:
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            torch.default_generator.manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            np.random.seed(np.frombuffer(digest, dtype="<u4"))
            random.seed(digest)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
