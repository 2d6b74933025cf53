"""One concrete case of a definition: the sizes of its axes and where its inputs come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, field_validator, model_serializer

from pytest_fib.data.definition import Name, Size

PathText = Annotated[str, Field(min_length=1, max_length=4096)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class RandomInput(_Frozen):
    """Content that the judge draws.

    ``edges``, on any input of a workload, asks for empty sequences, least and greatest lengths (not in the official
    schema, never written).
    """

    type: Literal["random"] = "random"
    edges: bool = Field(default=False, exclude=True)


class ScalarInput(_Frozen):
    """A Python scalar; a float may be infinite or NaN (written as a string that the official models read)."""

    type: Literal["scalar"] = "scalar"
    value: StrictBool | StrictInt | float

    @field_validator("value")
    @classmethod
    def _fits_64_bits(cls, value: bool | int | float) -> bool | int | float:
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise ValueError("a scalar should fit 64 bits")
        return value


class SafetensorsInput(_Frozen):
    """A captured tensor; ``path`` is relative to the dataset's root."""

    type: Literal["safetensors"] = "safetensors"
    path: PathText
    tensor_key: Name


class CustomInput(_Frozen):
    """Content made by the definition's ``custom_inputs_entrypoint``.

    The official schema has no word for it, so it is written as ``random``.
    """

    type: Literal["custom"] = "custom"

    @model_serializer
    def _as_official(self) -> dict[str, Any]:
        return {"type": "random"}


Input = Annotated[RandomInput | ScalarInput | SafetensorsInput | CustomInput, Field(discriminator="type")]


class WorkloadTolerance(_Frozen):
    """A tolerance of its own that a workload may carry (not in the official schema, never written)."""

    max_atol: float | None = None
    max_rtol: float | None = None
    required_matched_ratio: float | None = None
    max_error_cap: float | None = None
    allow_negative_inf: bool | None = None


class Workload(_Frozen):
    """A concrete case: axis sizes, one source per input, an opaque id."""

    axes: dict[Name, Size]
    inputs: dict[Name, Input]
    uuid: Name
    tolerance: WorkloadTolerance | None = Field(default=None, exclude=True)


@dataclass(frozen=True, slots=True)
class WorkloadLine:
    """A workload and where it was found; ``lineno`` counts from 1."""

    definition: str
    workload: Workload
    path: Path
    lineno: int
