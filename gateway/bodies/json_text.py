"""A JSON document (RFC 8259), read so strictly that every reader finds the same in it."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from gateway.bodies.fitting import ambiguous, judge, not_fitting
from gateway.errors import Refusal
from gateway.links.body_rules import BodyRules, Pointer
from gateway.links.parameters import same_parameter
from gateway.links.verdict import Reason

MAX_DEPTH = 64
MAX_MEMBERS = 10_000
"""Of all objects together: what is judged costs time that others wait."""

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_BRACKET = re.compile(r"[\[\]{}]")


class _Number(str):
    """A number as it was written: how large or how exact it is makes no difference then."""


_NOT_THERE = object()
_WORDS: dict[object, str] = {True: "true", False: "false", None: "null"}


def judge_json(body: bytes, rules: BodyRules, workorder: str) -> None:
    """Judge a whole document.

    Raises Refusal: `bad_request` for what is no JSON to every reader (a member that is there
    twice, in one spelling or in two, is not), and what `fitting.judge` raises.
    """
    document = _parse(body, rules.absent)
    if any(_find(document, pointer) is not _NOT_THERE for pointer in rules.absent_members):
        raise not_fitting()
    found = [(wanted, _find(document, pointer)) for pointer, wanted in rules.json]
    judge(
        ((wanted, _text(value, of_record=wanted.is_workorder)) for wanted, value in found),
        workorder,
    )


def _text(value: object, *, of_record: bool) -> str | None:
    """A value as text, a number as it was written; None if it is not there, or no single value."""
    if isinstance(value, str):
        return value
    if of_record or isinstance(value, dict | list) or value is _NOT_THERE:
        return None
    return _WORDS[value]


def _find(document: object, pointer: Pointer) -> object:
    """What `pointer` names. Raises Refusal (`bad_request`) for a member that some take for it."""
    here = document
    for token in pointer:
        if isinstance(here, dict):
            if any(name != token and same_parameter(name, token) for name in here):
                raise ambiguous()
            here = here.get(token, _NOT_THERE)
        elif isinstance(here, list):
            here = here[int(token)] if _is_index(token, here) else _NOT_THERE
        else:
            return _NOT_THERE
    return here


def _is_index(token: str, array: list[object]) -> bool:
    """Whether `token` is an index of `array` (RFC 6901 section 4)."""
    return re.fullmatch("0|[1-9][0-9]{0,5}", token) is not None and int(token) < len(array)


def _parse(body: bytes, absent: tuple[str, ...]) -> object:
    try:
        text = body.decode("utf-8")
        document = json.loads(
            text,
            object_pairs_hook=_Objects(absent),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError):
        raise Refusal(Reason.BAD_REQUEST, "The body is no JSON that every program reads.") from None
    if _depth(text) > MAX_DEPTH:
        raise Refusal(Reason.BAD_REQUEST, "The body is nested too deeply.")
    return document


class _Objects:
    """Makes the objects of one document, and judges the names in them."""

    def __init__(self, absent: tuple[str, ...]) -> None:
        self._absent = absent
        self._members = 0

    def __call__(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        self._members += len(pairs) + 1
        if self._members > MAX_MEMBERS:
            raise ValueError("more members than are judged")
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError("a member is there twice")
        for name in made if self._absent else ():
            if any(same_parameter(name, absent) for absent in self._absent):
                raise not_fitting()
        for name in made:
            # Half of a surrogate pair: some programs replace it, and two names become one.
            name.encode("utf-8")
        return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _depth(text: str) -> int:
    """How deep a document is nested that was parsed already, so that every string has its end."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest
