"""A document against its model, with every fault told in words for the document's sender."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from admin_api.checks import Rules
from admin_api.errors import Detail, invalid
from admin_api.schemas import WorkorderPortalLink

Model = TypeVar("Model", bound=BaseModel)

_SENTENCES = {
    "missing": "This field is required.",
    "bool_type": "Give true or false.",
    "int_type": "Give a whole number.",
    "int_from_float": "Give a whole number.",
    "string_type": "Give a string.",
    "string_unicode": "This string has half of a surrogate pair.",
    "list_type": "Give a list.",
    "model_type": "Give an object.",
    "dict_type": "Give an object.",
}


def validate(model: type[Model], document: Mapping[str, Any], rules: Rules | None = None) -> Model:
    """The document as a `model`. Raises ApiError 422 that lists every fault."""
    try:
        return model.model_validate(document, context=rules)
    except ValidationError as error:
        raise invalid(details_of(error)) from None


def details_of(error: ValidationError) -> list[Detail]:
    """Every fault, with the dotted name of its field. What was sent is never repeated."""
    faults = error.errors(include_url=False, include_input=False)
    return [Detail(dotted(fault["loc"]), _sentence(fault)) for fault in faults]


def dotted(location: tuple[int | str, ...]) -> str:
    """`("access_restrictions", "allowed_ips", 0)` as `access_restrictions.allowed_ips.0`."""
    return ".".join(str(step) for step in location)


def _sentence(fault: ErrorDetails) -> str:
    if fault["type"] == "extra_forbidden":
        known = dotted(fault["loc"]) in _ANSWERED
        return "This field is read-only." if known else "There is no such field."
    if fault["type"] == "value_error":
        return str(fault.get("ctx", {}).get("error", fault["msg"]))
    return _SENTENCES.get(fault["type"], f"{fault['msg']}.")


def _answered_fields() -> frozenset[str]:
    """The dotted names of the fields that are answered: refused as read-only, not as unknown."""
    names: set[str] = set()
    for name, field in WorkorderPortalLink.model_fields.items():
        top = field.alias or name
        names.add(top)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= {f"{top}.{inner}" for inner in field.annotation.model_fields}
    return frozenset(names)


_ANSWERED = _answered_fields()
