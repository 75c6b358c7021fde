"""The mail server's URL."""

from __future__ import annotations

import pytest

from gateway.notify.server import MailServer


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("smtp://mail.example", MailServer("mail.example", 587), id="submission"),
        pytest.param("smtps://mail.example", MailServer("mail.example", 465, True), id="smtps"),
        pytest.param("smtp://mail.example:25/", MailServer("mail.example", 25), id="port"),
        pytest.param("smtp://[::1]:2525", MailServer("::1", 2525), id="IPv6"),
        pytest.param(
            "smtp://a%40b.example:p%2Fw%25d@mail.example",
            MailServer("mail.example", 587, user="a@b.example", password="p/w%d"),
            id="percent-encoded login",
        ),
        pytest.param(
            "smtp://relay@mail.example",
            MailServer("mail.example", 587, user="relay"),
            id="user only",
        ),
    ],
)
def test_parse(url: str, expected: MailServer) -> None:
    assert MailServer.parse(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mail.example:587", id="no scheme"),
        pytest.param("smtp://", id="no host"),
        pytest.param("smtp://user:hunter2@mail.example:port", id="a port that is no number"),
        pytest.param("smtp://user:hunter2@mail.example:99999", id="a port that is too large"),
        pytest.param("smtp://user:hun/ter2@mail.example", id="a password that is not encoded"),
        pytest.param("smtp://:hunter2@mail.example", id="a password without a user"),
        pytest.param("smtp://user:hunter2@mail.example?x=y", id="a query"),
        pytest.param("smtp://user:hunter2@[mail.example", id="half a bracket"),
    ],
)
def test_a_bad_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        MailServer.parse(url)
    assert "ter2" not in str(caught.value)
    assert "hun" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "required"),
    [
        pytest.param("smtp://u:p@mail.example", True, id="login across a network"),
        pytest.param("smtp://u:p@192.0.2.7", True, id="login to an address"),
        pytest.param("smtp://mail.example", False, id="no login"),
        pytest.param("smtp://u:p@localhost", False, id="localhost"),
        pytest.param("smtp://u:p@127.0.0.1", False, id="loopback"),
        pytest.param("smtp://u:p@[::1]", False, id="IPv6 loopback"),
    ],
)
def test_tls_is_required_for_a_login_across_a_network(url: str, required: bool) -> None:
    assert MailServer.parse(url).requires_tls is required


def test_the_password_is_not_in_the_representation() -> None:
    assert "hunter2" not in repr(MailServer.parse("smtp://u:hunter2@mail.example"))
