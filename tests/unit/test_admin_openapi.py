"""The description that is served, against the one that was given.

Ours may say more about a value than the given one does (a longest length, a format); it may say
nothing less and nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from admin_api.openapi import describe
from admin_api.operations import OPERATIONS

GIVEN = yaml.safe_load(
    (Path(__file__).parent.parent / "contract" / "openapi.yaml").read_text("utf-8")
)
WHOLE = describe()

# What may be added to a value's schema: it only tells which values are meant.
MAY_BE_ADDED = {"maxLength", "minLength", "maxItems", "maximum", "pattern", "format"}
# What this version has beyond the given description: each a deliberate extension, and marked so.
ADDED_PATHS = {
    "/v1/workorder-portal-link/{id}/unlock",
    "/v1/webhook-deliveries",
    "/v1/webhook-deliveries/{id}/resend",
}
ADDED_FIELDS = {("WorkorderPortalLink", "throttle")}
METHODS = {"get", "post", "patch", "delete"}


def without_extensions(document: dict[str, Any]) -> dict[str, Any]:
    """The description as it was given: what was added to it taken out again."""
    bare = copy.deepcopy(document)
    for path in ADDED_PATHS:
        del bare["paths"][path]
    for schema, field in ADDED_FIELDS:
        del bare["components"]["schemas"][schema]["properties"][field]
    return bare


SERVED = without_extensions(WHOLE)


def differences(given: Any, served: Any, path: str = "") -> Iterator[str]:
    """Every place where `served` lacks, changes or adds something."""
    if isinstance(given, dict) and isinstance(served, dict):
        for key in given.keys() - served.keys():
            yield f"{path}/{key} is missing"
        for key in served.keys() - given.keys() - MAY_BE_ADDED:
            yield f"{path}/{key} is not in the given description"
        for key in given.keys() & served.keys():
            yield from differences(given[key], served[key], f"{path}/{key}")
    elif isinstance(given, list) and isinstance(served, list) and key_of(path) in ORDERLESS:
        yield from differences(sorted(given), sorted(served), f"{path}(sorted)")
    elif isinstance(given, list) and isinstance(served, list) and len(given) == len(served):
        for place, (one, other) in enumerate(zip(given, served, strict=True)):
            yield from differences(one, other, f"{path}/{place}")
    elif given != served or type(given) is not type(served):
        yield f"{path}: {served!r} is not {given!r}"


ORDERLESS = {"required"}


def key_of(path: str) -> str:
    """The last step of a path."""
    return path.rpartition("/")[2]


@pytest.mark.parametrize("path", sorted(GIVEN["paths"]))
def test_operations_are_the_given_ones(path: str) -> None:
    assert list(differences(GIVEN["paths"][path], SERVED["paths"][path])) == []


def test_no_path_is_added() -> None:
    assert SERVED["paths"].keys() == GIVEN["paths"].keys()


def test_what_is_added_says_that_it_is() -> None:
    for path in ADDED_PATHS:
        assert all(operation["x-extension"] for operation in WHOLE["paths"][path].values())
    for name, field in ADDED_FIELDS:
        schema = WHOLE["components"]["schemas"][name]
        assert schema["properties"][field]["x-extension"] is True
        # Clients of the original service do not send or expect it.
        assert schema["properties"][field]["readOnly"] is True
        assert field not in schema["required"]


@pytest.mark.parametrize("name", sorted(GIVEN["components"]["schemas"]))
def test_schemas_are_the_given_ones(name: str) -> None:
    given, served = GIVEN["components"]["schemas"], SERVED["components"]["schemas"]
    assert list(differences(given[name], served[name])) == []


@pytest.mark.parametrize("part", ["responses", "securitySchemes"])
def test_other_components_are_the_given_ones(part: str) -> None:
    assert list(differences(GIVEN["components"][part], SERVED["components"][part])) == []


def test_the_document_as_a_whole_is_the_given_one() -> None:
    given = {key: value for key, value in GIVEN.items() if key not in {"info"}}
    served = {key: value for key, value in SERVED.items() if key not in {"info"}}
    assert list(differences(given, served)) == []
    assert SERVED["info"]["title"] == GIVEN["info"]["title"]
    assert SERVED["info"]["version"] == GIVEN["info"]["version"]


def test_every_reference_leads_somewhere() -> None:
    for reference in references(WHOLE):
        place: Any = WHOLE
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
        assert place


def references(node: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_operation_is_described_once() -> None:
    described = [
        operation["operationId"]
        for verbs in WHOLE["paths"].values()
        for method, operation in verbs.items()
        if method in METHODS
    ]
    assert sorted(described) == sorted(operation.id for operation in OPERATIONS)
    assert len(set(described)) == len(described)


def test_the_password_is_written_and_never_read() -> None:
    schemas = SERVED["components"]["schemas"]
    sent = schemas["CreateLink"]["properties"]["access_restrictions"]["properties"]
    answered = schemas["WorkorderPortalLink"]["properties"]["access_restrictions"]["properties"]
    assert sent["password"]["writeOnly"] is True
    assert "default" not in sent["password"]
    assert "password" not in answered


def test_a_work_order_that_stands_only_in_queries_may_be_any_text() -> None:
    free = describe(path_segments=False)["components"]["schemas"]["CreateLink"]
    bound = SERVED["components"]["schemas"]["CreateLink"]
    assert "pattern" not in free["properties"]["workorder"]
    assert "pattern" in bound["properties"]["workorder"]
