"""What pydantic found wrong, as one sentence in the words of the schema."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from pytest_fib.data.text import escape, show
from pytest_fib.errors import DataError

_Model = TypeVar("_Model", bound=BaseModel)
_NOT_THERE = object()
_LISTED = 50
_DEMANDS = {
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
    "tuple_type": "should be a list",
    "string_type": "should be text",
    "string_too_short": "should not be empty",
    "string_too_long": "should have at most {max_length} characters",
    "string_pattern_mismatch": "has characters that are not allowed",
    "string_unicode": "should be text without broken characters",
    "bool_type": "should be true or false",
    "int_type": "should be an integer",
    "greater_than_equal": "should be at least {ge}",
    "less_than_equal": "should be at most {le}",
    "too_short": "should have at least {min_length} items",
    "too_long": "should have at most {max_length} items",
}


class Faults(ValueError):
    """What a validator found wrong with a whole object, one sentence each."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(sentences[0])
        self.sentences = sentences


def validated(
    model: type[_Model], fields: dict[str, Any], renamed: Mapping[str, str] = MappingProxyType({})
) -> _Model:
    """Return the model made of ``fields``; ``renamed`` says what the file calls some of them.

    Raises
    ------
    DataError
        The fields do not fit; the message names the first that does not, its ``sentences`` each of them.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False)[:_LISTED]
        sentences = (sentence for each in found for sentence in _sentences(each, fields, renamed))
        raise DataError(*itertools.islice(dict.fromkeys(sentences), _LISTED)) from None


def _sentences(error: ErrorDetails, fields: dict[str, Any], renamed: Mapping[str, str]) -> Iterator[str]:
    faults = error.get("ctx", {}).get("error")
    if not isinstance(faults, Faults):
        yield _sentence(error, fields, renamed)
        return
    for fault in faults.sentences:
        yield _sentence({**error, "ctx": {"error": fault}}, fields, renamed)


def _sentence(error: ErrorDetails, fields: dict[str, Any], renamed: Mapping[str, str]) -> str:
    field, kind, context = _field(error, fields, renamed), error["type"], error.get("ctx", {})
    if kind == "value_error":
        return escape(f"{field and f'{field}: '}{context['error']}; correct it", 500)
    if kind == "missing":
        return f"{field} is missing; add it"
    if kind == "union_tag_not_found":
        return f"{field} has no 'type'; add it"
    if kind == "union_tag_invalid":
        return f"{field} has the type {show(context['tag'])}; use one of {context['expected_tags']}"
    return escape(f"{field} {_demand(error, context)}, found {show(error['input'])}; correct it", 500)


def _demand(error: ErrorDetails, context: dict[str, Any]) -> str:
    kind = error["type"]
    if kind in _DEMANDS:
        return _DEMANDS[kind].format_map(context)
    return (
        "s" + error["msg"].partition("s")[2]
        if error["msg"].startswith("Input s")
        else f"is wrong ({error['msg']})"
    )


def _field(error: ErrorDetails, fields: dict[str, Any], renamed: Mapping[str, str]) -> str:
    """Name the field by its path in the file; pydantic's own path has the names of union members in it."""
    path: list[str] = []
    here: Any = fields
    for part in error["loc"]:
        inner = _inner(here, part)
        if inner is not _NOT_THERE:
            here = inner
        elif error["type"] != "missing" or part != error["loc"][-1]:
            continue
        path.append(escape(str(part), 60))
    path[:1] = [renamed.get(part, part) for part in path[:1]]
    return f"field '{escape('.'.join(path), 160)}'" if path else ""


def _inner(value: Any, part: int | str) -> Any:
    if isinstance(value, dict):
        return value.get(part, _NOT_THERE)
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOT_THERE
