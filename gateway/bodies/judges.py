"""Which judge a body needs. Feed it the body as it arrives; it raises what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.bodies.fitting import FormFields, ambiguous, not_fitting
from gateway.bodies.json_text import judge_json
from gateway.bodies.media_type import FORM, MULTIPART, boundary_of, parse_media_type
from gateway.bodies.multipart import MultipartScanner
from gateway.bodies.part_head import PartHead
from gateway.bodies.urlencoded import judge_urlencoded
from gateway.links.body_rules import BodyRules


class BodyJudge(Protocol):
    """Judges one body. Every method raises Refusal: `no_route`, `not_permitted`, `bad_request`."""

    @property
    def is_decided(self) -> bool:
        """Whether what has come fits the row; what still comes can only spoil it."""
        ...

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        ...

    def finish(self) -> None:
        """The body is over."""
        ...


def judge_for(
    rules: BodyRules,
    workorder: str,
    content_types: Sequence[str],
    content_encodings: Sequence[str] = (),
) -> BodyJudge:
    """The judge of a body whose headers say this of it.

    Raises Refusal: `no_route` for a type that the row does not take, `bad_request` for one that
    can be read in more than one way, and for a compressed body.
    """
    if content_encodings:
        raise ambiguous()
    media_type = parse_media_type(content_types)
    if media_type is not None and rules.takes_json and media_type.is_json:
        return _WholeJudge(lambda body: judge_json(body, rules, workorder))
    fields = FormFields(rules, workorder)
    if media_type is not None and rules.takes_form and media_type.name == FORM:
        return _WholeJudge(lambda body: judge_urlencoded(body, fields))
    if media_type is not None and rules.takes_form and media_type.name == MULTIPART:
        return _MultipartJudge(fields, boundary_of(media_type))
    raise not_fitting()


class _WholeJudge:
    """Judges a body once all of it is there."""

    is_decided = False

    def __init__(self, judge: Callable[[bytes], None]) -> None:
        self._judge = judge
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        self._body += data

    def finish(self) -> None:
        self._judge(bytes(self._body))


class _MultipartJudge:
    """Judges the fields before the first file; after it, a judged field spoils the body."""

    def __init__(self, fields: FormFields, boundary: bytes) -> None:
        self.is_decided = False
        self._fields = fields
        self._scanner = MultipartScanner(boundary, self)
        self._name = ""
        self._value: bytearray | None = None

    def feed(self, data: bytes) -> None:
        self._scanner.feed(data)

    def finish(self) -> None:
        self._scanner.finish()
        if not self.is_decided:
            self._fields.judge()

    def begin_part(self, head: PartHead) -> None:
        self._value = None
        is_judged = self._fields.meet(head.name)
        if is_judged and (self.is_decided or not head.is_text):
            raise ambiguous()
        if is_judged:
            self._name, self._value = head.name, bytearray()
        elif head.is_file and not self.is_decided:
            self._fields.judge()
            self.is_decided = True

    def take_data(self, data: bytes) -> None:
        if self._value is not None:
            self._value += data

    def end_part(self) -> None:
        if self._value is None:
            return
        try:
            value = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise ambiguous() from None
        self._fields.take(self._name, value)
