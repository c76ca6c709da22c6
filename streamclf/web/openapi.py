"""Description of the JSON API, made from the same types that write its answers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from streamclf.web.records import ErrorAnswer


@dataclass(frozen=True)
class Parameter:
    """Parameter of an address.

    Attributes:
        name: Its name.
        description: What it means, in a sentence.
        schema: JSON Schema of its value.
        repeated: Whether it may stand there several times.
    """

    name: str
    description: str
    schema: dict[str, Any]
    repeated: bool = False


@dataclass(frozen=True)
class Operation:
    """One thing that the API does.

    Attributes:
        method: ``GET`` or ``POST``.
        path: Path below the root of the pages; ``{id}`` stands for a number.
        summary: What it does, in a sentence.
        answer: Type of the answer, or its media type where it is no JSON.
        parameters: Parameters of the address.
        body: Type of the body; None for none.
        may_lack: Whether the thing may not be there, so that 404 is an answer.
    """

    method: str
    path: str
    summary: str
    answer: Any
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    may_lack: bool = False


def describe(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Describe operations as OpenAPI 3.1 does.

    Args:
        operations: All operations.
        version: Version of the description.
    """
    operations = list(operations)
    types = [each.answer for each in operations if not isinstance(each.answer, str)]
    types += [each.body for each in operations if each.body is not None]
    unique = list(dict.fromkeys([*types, ErrorAnswer]))
    schemas, components = msgspec.json.schema_components(
        unique, ref_template="#/components/schemas/{name}"
    )
    of = dict(zip(unique, schemas, strict=True))
    paths: dict[str, Any] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _describe(each, of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "streamclf",
            "version": version,
            "description": "What was heard and what sounds now. Paths are below the address of "
            "the page. With a password, log in first by a POST of `password` to `login`. Each POST "
            "sends the token that `api/session` tells, as the header `X-CSRF-Token`.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {
                "Error": {
                    "description": "It cannot be answered or done.",
                    "content": {"application/json": {"schema": of[ErrorAnswer]}},
                }
            },
        },
    }


def _describe(each: Operation, of: dict[Any, Any]) -> dict[str, Any]:
    words = re.findall(r"[a-z]+", each.path.removeprefix("/api").replace("{id}", ""))
    described: dict[str, Any] = {
        "operationId": "_".join([each.method.lower(), *words])
        + ("_by_id" if each.path.endswith("{id}") else ""),
        "summary": each.summary,
    }
    parameters = [_describe_parameter(parameter) for parameter in each.parameters]
    if "{id}" in each.path:
        number = {"type": "integer", "minimum": 1}
        parameters.insert(
            0,
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "Number in the store.",
                "schema": number,
            },
        )
    if parameters:
        described["parameters"] = parameters
    if each.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of[each.body]}},
        }
    media = each.answer if isinstance(each.answer, str) else "application/json"
    schema: dict[str, Any] = {} if isinstance(each.answer, str) else {"schema": of[each.answer]}
    described["responses"] = {
        "200": {"description": "Done.", "content": {media: schema}},
        "400": {"$ref": "#/components/responses/Error"},
        "401": {"$ref": "#/components/responses/Error"},
        "403": {"$ref": "#/components/responses/Error"},
        "503": {"$ref": "#/components/responses/Error"},
    }
    if each.may_lack:
        described["responses"]["404"] = {"$ref": "#/components/responses/Error"}
    return described


def _describe_parameter(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.schema
    if parameter.repeated:
        schema = {"type": "array", "items": schema}
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": schema,
    }
