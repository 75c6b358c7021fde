"""The numbers of the specification, each beside the sentence that it is from.

They stand at the top of modules, where a tool that mutates functions does not look.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from config.models import SessionSettings, ThrottleSettings
from gateway.links.model import LinkType
from gateway.links.session import CLOCK_SKEW, Lifetime
from gateway.request.client_ip import throttle_subject
from gateway.steps.entrance import REISSUE_AFTER
from gateway.store.throttle import MAX_MARKS
from gateway.store.windows import MAX_WINDOWS
from gateway.visitor.codes import CODE_LIFE, MAX_WRONG
from gateway.visitor.session import GATE_LIFE, MAX_SESSIONS, VISITOR_LIFE


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        pytest.param(ThrottleSettings().window, 3600, id="an hour"),
        pytest.param(
            ThrottleSettings().failures_per_address, 10, id="10 failures per link and address"
        ),
        pytest.param(ThrottleSettings().failures_per_link, 100, id="100 per link"),
        pytest.param(ThrottleSettings().codes_per_email, 5, id="5 codes per link and mail address"),
        pytest.param(ThrottleSettings().codes_per_address, 20, id="20 per link and address"),
        pytest.param(CODE_LIFE, 600, id="a code lives 10 minutes"),
        pytest.param(MAX_WRONG, 5, id="a code dies after 5 wrong tries"),
        pytest.param(GATE_LIFE, 900, id="what is proven at the gates, 15 minutes"),
        pytest.param(MAX_SESSIONS, 20, id="at most 20 sessions in a browser"),
        pytest.param(REISSUE_AFTER, 0.1, id="reissued after a tenth of its idle time"),
        pytest.param(VISITOR_LIFE, 400 * 86400, id="the longest that browsers keep a cookie"),
        pytest.param(CLOCK_SKEW, 60, id="machines' clocks agree to a minute"),
        pytest.param((MAX_WINDOWS, MAX_MARKS), (20_000, 20_000), id="what memory may hold"),
    ],
)
def test_a_number_of_the_specification(value: object, meant: object) -> None:
    assert value == meant


@pytest.mark.parametrize(
    ("link_type", "life", "idle"),
    [
        (LinkType.PUBLIC, 24 * 3600, 24 * 3600),
        (LinkType.PRIVATE, 12 * 3600, 2 * 3600),
        (LinkType.SECURE, 3600, 15 * 60),
    ],
)
def test_how_long_a_session_lives(link_type: LinkType, life: int, idle: int) -> None:
    assert SessionSettings().lifetime(link_type) == Lifetime(life, idle)


def test_an_address_is_counted_whole_and_a_household_as_one() -> None:
    assert throttle_subject(ip_address("192.0.2.9")) == "192.0.2.9"
    assert throttle_subject(ip_address("2001:db8::ffff:1")) == "2001:db8::/64"
