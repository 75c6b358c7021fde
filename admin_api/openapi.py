"""The description of the API (OpenAPI 3.0.3), made from the operations and their models.

pydantic describes models in JSON Schema 2020-12. OpenAPI 3.0 has an older dialect: null is
`nullable`, a constant is an enumeration of one. What is sent and what is answered differ, too:
null and unknown fields are a matter of requests alone.
"""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from admin_api import schemas
from admin_api.operations import OPERATIONS, Operation

Schema = dict[str, Any]

TITLE = "Workorder portal links"
VERSION = "1.0.0"
DESCRIPTION = (
    "Share one work order with somebody outside. In answers an unset optional field is left out, "
    "never null. In requests null is accepted where x-null-clears says so, and clears; elsewhere "
    "it is 422."
)
IF_MATCH = 'extension: the ETag ("__v") that the change was made on; another one now: 412'

OUTCOMES = {
    HTTPStatus.BAD_REQUEST: "Invalid request parameters",
    HTTPStatus.UNAUTHORIZED: "Authentication required",
    HTTPStatus.FORBIDDEN: "Insufficient permissions",
    HTTPStatus.NOT_FOUND: "Resource not found",
    HTTPStatus.PRECONDITION_FAILED: "Changed by someone else since",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Body too large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Not application/json",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Validation failed",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Internal server error",
    HTTPStatus.SERVICE_UNAVAILABLE: "A part is down; Retry-After says when to try again",
}

# Each of these is named; every other model stands where it is used.
COMPONENTS: tuple[type[BaseModel], ...] = (
    schemas.AccessLogEntry,
    schemas.Key,
    schemas.WorkorderPortalLink,
    schemas.CreateLink,
    schemas.UpdateLink,
    schemas.PagingInfo,
    schemas.Error,
)
_NAMED = {model.__name__ for model in COMPONENTS}


class Use(Enum):
    """What a model describes, and with it what its schema says of null, defaults and the rest."""

    CREATE = "a request that leaves what it does not name at its default"
    CHANGE = "a request that leaves what it does not name as it is"
    ANSWER = "an answer"
    QUERY = "a query string"


_USES: dict[type[BaseModel], Use] = {
    schemas.CreateLink: Use.CREATE,
    schemas.CreateKey: Use.CREATE,
    schemas.UpdateLink: Use.CHANGE,
}


def describe(*, path_segments: bool = True) -> Schema:
    """The whole description. `path_segments`: a work order's id has to be a path segment."""
    document: Schema = {
        "openapi": "3.0.3",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "security": [{"Bearer": []}, {"ApiKey": []}],
        "paths": {},
        "components": {
            "securitySchemes": {
                "Bearer": {"type": "http", "scheme": "bearer"},
                "ApiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
            "schemas": {model.__name__: model_schema(model) for model in COMPONENTS},
            "responses": {f"E{status.value}": _failure(status) for status in OUTCOMES},
        },
    }
    if not path_segments:
        create = document["components"]["schemas"]["CreateLink"]
        create["properties"]["workorder"].pop("pattern")
    for operation in OPERATIONS:
        verbs = document["paths"].setdefault(operation.path, {})
        verbs[operation.method.lower()] = _operation(operation)
    return document


def _operation(operation: Operation) -> Schema:
    described: Schema = {"operationId": operation.id, "summary": operation.summary}
    if operation.extension:
        described["x-extension"] = True
    parameters = _parameters(operation)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_json(_reference(operation.body))}
    described["responses"] = {
        str(operation.status.value): {
            "description": operation.outcome,
            **_json(_envelope(operation)),
        },
        **{
            str(status.value): {"$ref": f"#/components/responses/E{status.value}"}
            for status in operation.failures
        },
    }
    return described


def _parameters(operation: Operation) -> list[Schema]:
    parameters: list[Schema] = []
    if operation.names_one:
        parameters.append(
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        )
    if operation.conditional:
        parameters.append(_parameter("If-Match", "header", {"type": "string"}, IF_MATCH))
    if operation.query is not None:
        for name, schema in model_schema(operation.query, Use.QUERY)["properties"].items():
            parameters.append(_parameter(name, "query", schema, schema.pop("description", None)))
    return parameters


def _parameter(name: str, place: str, schema: Schema, description: str | None) -> Schema:
    parameter: Schema = {"name": name, "in": place, "required": False, "schema": schema}
    return parameter if description is None else parameter | {"description": description}


def _envelope(operation: Operation) -> Schema:
    members: Schema = {"success": {"type": "boolean", "enum": [True]}}
    if operation.answer:
        parts = [_reference(model) for model in operation.answer]
        data = parts[0] if len(parts) == 1 else {"allOf": parts}
        members["data"] = {"type": "array", "items": data} if operation.listed else data
    if operation.paged:
        members["paging"] = _reference(schemas.PagingInfo)
    return {"type": "object", "properties": members, "required": list(members)}


def _failure(status: HTTPStatus) -> Schema:
    return {"description": OUTCOMES[status], **_json(_reference(schemas.Error))}


def _json(schema: Schema) -> Schema:
    return {"content": {"application/json": {"schema": schema}}}


def _reference(model: type[BaseModel]) -> Schema:
    if model.__name__ in _NAMED:
        return {"$ref": f"#/components/schemas/{model.__name__}"}
    return model_schema(model)


def model_schema(model: type[BaseModel], use: Use | None = None) -> Schema:
    """The schema of one model, in OpenAPI's dialect."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.pop("$defs", {})
    return _Dialect(definitions, use or _USES.get(model, Use.ANSWER)).translate(schema)


class _Dialect:
    """Translates JSON Schema 2020-12, as pydantic writes it, for one use."""

    def __init__(self, definitions: dict[str, Schema], use: Use) -> None:
        self._definitions = definitions
        self._use = use

    def translate(self, schema: Schema) -> Schema:
        """`schema` in OpenAPI's dialect, with unnamed models put where they are used."""
        if "$ref" in schema:
            return self._resolve(schema["$ref"].rpartition("/")[2])
        if "anyOf" in schema:
            schema = self._without_null(schema)
        translated = {
            key: value for key, value in schema.items() if key not in self._unwanted(schema)
        }
        if "const" in schema:
            translated["enum"] = [translated.pop("const")]
        if "items" in schema:
            translated["items"] = self.translate(schema["items"])
        if "properties" in schema:
            translated["properties"] = {
                name: self.translate(value) for name, value in schema["properties"].items()
            }
        return translated

    def _resolve(self, name: str) -> Schema:
        if name in _NAMED:
            return {"$ref": f"#/components/schemas/{name}"}
        return self.translate(self._definitions[name])

    def _without_null(self, schema: Schema) -> Schema:
        (value,) = (option for option in schema["anyOf"] if option != {"type": "null"})
        if "$ref" in value:
            value = self._definitions[value["$ref"].rpartition("/")[2]]
        rest = {key: kept for key, kept in schema.items() if key != "anyOf"}
        if self._use in {Use.CREATE, Use.CHANGE}:
            rest |= {"nullable": True, "x-null-clears": True}
        return {**value, **rest}

    def _unwanted(self, schema: Schema) -> set[str]:
        """The keywords that say nothing here: docstrings are for readers of the code."""
        unwanted = {"title"}
        if "properties" in schema:
            unwanted.add("description")
        if self._use is Use.CHANGE or schema.get("default", False) is None:
            unwanted.add("default")
        if self._use in {Use.ANSWER, Use.QUERY}:
            unwanted.add("additionalProperties")
        return unwanted
