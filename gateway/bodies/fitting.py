"""The judged fields of a body, as they are found, and the verdict on them."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.errors import Refusal
from gateway.links.body_rules import BodyRules, Wanted
from gateway.links.parameters import same_parameter
from gateway.links.verdict import Reason

CHARSET_FIELD = "_charset_"
"""Says of a form, within the form, in which character set it is (HTML, "constructing the entry list")."""


class FormFields:
    """The fields of one form: each name is shown to `meet`, what it asks for is given to `take`."""

    def __init__(self, rules: BodyRules, workorder: str) -> None:
        self._rules = rules
        self._workorder = workorder
        self._wanted = dict(rules.form)
        self._met: set[str] = set()
        self._values: dict[str, str] = {}

    def meet(self, name: str) -> bool:
        """Whether the field is judged: its value has to be taken.

        Raises Refusal: `no_route` for what may not be there, `bad_request` for a judged field
        that comes again, or under another spelling of its name.
        """
        if any(same_parameter(name, absent) for absent in self._rules.absent):
            raise not_fitting()
        if same_parameter(name, CHARSET_FIELD):
            return self._meet_once(name, CHARSET_FIELD)
        for wanted in self._wanted:
            if same_parameter(name, wanted):
                return self._meet_once(name, wanted)
        return False

    def _meet_once(self, name: str, wanted: str) -> bool:
        if name != wanted or name in self._met:
            raise ambiguous()
        self._met.add(name)
        return True

    def take(self, name: str, value: str) -> None:
        """The value of a field that `meet` asked for. Raises Refusal (`bad_request`)."""
        if name == CHARSET_FIELD and value.lower() != "utf-8":
            raise Refusal(Reason.BAD_REQUEST, "The form is not UTF-8.")
        self._values[name] = value

    def judge(self) -> None:
        """Judge what was taken, once all has come that may count. Raises Refusal, as `judge`."""
        judge(
            ((wanted, self._values.get(name)) for name, wanted in self._rules.form),
            self._workorder,
        )


def judge(found: Iterable[tuple[Wanted, str | None]], workorder: str) -> None:
    """Judge what each judged field says; None is one that is not there.

    Raises Refusal: `no_route` where the row does not fit, or else `not_permitted` where another
    record is named. That is the order of rules 6 and 7.
    """
    named = []
    for wanted, value in found:
        inner = wanted.capture(value) if value is not None else None
        if inner is None:
            raise not_fitting()
        if wanted.is_workorder:
            named.append(inner)
    if any(each != workorder for each in named):
        raise Refusal(Reason.NOT_PERMITTED)


def not_fitting() -> Refusal:
    """The refusal of a body that the row does not fit."""
    return Refusal(Reason.NO_ROUTE)


def ambiguous() -> Refusal:
    """The refusal of a body that two programs could read differently."""
    return Refusal(Reason.BAD_REQUEST, "The body can be read in more than one way.")
