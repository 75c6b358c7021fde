"""What schemathesis cannot know of the API: loaded by its command line, not by pytest.

Two formats are this API's own, and the tool's own mail addresses are sometimes none. And a schema describes one field at a time, while some rules span
several, or what is stored already: a request that breaks one of these is refused although each of
its fields is good. Such a refusal is right only if it names nothing else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import schemathesis
from hypothesis import strategies as st

RULES_ACROSS_FIELDS = {
    "A password is given, and password_protected is false.",
    "This needs a password: give one in access_restrictions.password.",
    "A secure link needs a password or the verification of the email.",
    "This domain belongs to other namespaces.",
}

_ADDRESSES = st.ip_addresses().map(str)
_NETWORKS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)),
).map(lambda pair: f"{pair[0]}/{pair[1]}")
_DOMAINS = st.from_regex(r"[a-z]{1,10}(-[a-z]{1,5})?\.(com|org|example)", fullmatch=True)
_MAILBOXES = st.from_regex(r"[A-Za-z0-9]{1,10}([.+_-][A-Za-z0-9]{1,5})?", fullmatch=True)
_EMAILS = st.builds("{}@{}".format, _MAILBOXES, _DOMAINS)

schemathesis.openapi.format("email", _EMAILS)
schemathesis.openapi.format("ip-network", _ADDRESSES | _NETWORKS)
schemathesis.openapi.format("email-or-domain", _EMAILS | _DOMAINS.map("@{}".format))


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether this failure is one."""
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    if response.status_code == HTTPStatus.PRECONDITION_FAILED:
        return "If-Match" not in (case.headers or {})
    if response.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
        return True
    said = {detail["message"] for detail in response.json()["details"]}
    return not said <= RULES_ACROSS_FIELDS
