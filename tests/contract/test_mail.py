"""Mails, through a real mail server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import MailUnavailable
from gateway.links.model import Branding, Link
from gateway.notify.mail import Mailer
from tests.smtp_server import running_smtp_server

FROM = "portal@facility.example"
TO = "anna@visitor.example"
CODE = "048215"
NOW = 1_780_000_000.25
LINK = Link(
    id="0" * 24,
    token_hash=b"\1" * 32,
    workorder="WO-1042",
    branding=Branding(footer_text="Alder & Quay\nQuestions: 0800 1042"),
)
# An address that this machine answers on and that is not loopback's, so that the rules for a
# mail server across a network apply to it.
NETWORK = "0.0.0.0"


class Tls(NamedTuple):
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A server's certificate for `NETWORK`, and a client that trusts it."""
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(NETWORK))]), False)
        .sign(key, hashes.SHA256())
    )
    bundle = folder / "server.pem"
    bundle.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(bundle)
    return Tls(server, ssl.create_default_context(cafile=str(bundle)))


async def test_a_code_arrives_as_one_plain_mail() -> None:
    async with running_smtp_server() as server:
        await Mailer(server.url, FROM, now=lambda: NOW).send_code(TO, CODE, LINK, 10)
        mail = await server.next_mail()
    message = mail.message
    assert (mail.sender, mail.recipients) == (FROM, [TO])
    assert (message["From"], message["To"]) == (FROM, TO)
    assert message["Subject"].endswith(f" {CODE}")
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@facility.example>")
    assert parsedate_to_datetime(message["Date"]).timestamp() == int(NOW)
    assert message.get_content_type() == "text/plain"
    text = message.get_content().replace("\r\n", "\n")
    assert CODE in text
    assert "for 10 minutes" in text
    assert text.rstrip().endswith("-- \nAlder & Quay\nQuestions: 0800 1042")
    # A link would be opened by scanners, and the work order is not to be shown yet.
    assert "://" not in text
    assert LINK.workorder not in message.as_string()
    assert mail.greeting == "facility.example"


async def test_a_login_is_sent_decoded() -> None:
    async with running_smtp_server(login=("portal@x", "p:/ä ss")) as server:
        mailer = Mailer(f"smtp://portal%40x:p%3A%2F%C3%A4%20ss@127.0.0.1:{server.port}", FROM)
        await mailer.send_code(TO, CODE, LINK, 10)
        assert (await server.next_mail()).user == "portal@x"


async def test_starttls_is_used_where_it_is_offered(tls: Tls) -> None:
    async with running_smtp_server(starttls=tls.server) as server:
        await Mailer(server.url, FROM).send_code(TO, CODE, LINK, 10)
        assert (await server.next_mail()).over_tls


async def test_a_login_across_a_network_goes_over_starttls(tls: Tls) -> None:
    async with running_smtp_server(
        host=NETWORK, starttls=tls.server, login=("portal", "secret")
    ) as server:
        url = f"smtp://portal:secret@{NETWORK}:{server.port}"
        await Mailer(url, FROM, tls=tls.client).send_code(TO, CODE, LINK, 10)
        mail = await server.next_mail()
    assert mail.over_tls
    assert mail.user == "portal"


async def test_a_login_never_crosses_a_network_in_the_clear() -> None:
    async with running_smtp_server(host=NETWORK, login=("portal", "secret")) as server:
        mailer = Mailer(f"smtp://portal:secret@{NETWORK}:{server.port}", FROM)
        with pytest.raises(MailUnavailable, match="STARTTLS"):
            await mailer.send_code(TO, CODE, LINK, 10)
        assert server.login_tries == 0
        assert server.mails == []


async def test_smtps(tls: Tls) -> None:
    async with running_smtp_server(host=NETWORK, implicit_tls=tls.server) as server:
        url = f"smtps://{NETWORK}:{server.port}"
        await Mailer(url, FROM, tls=tls.client).send_code(TO, CODE, LINK, 10)
        assert (await server.next_mail()).recipients == [TO]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_that_nobody_signed_is_not_trusted(tls: Tls, scheme: str) -> None:
    implicit = tls.server if scheme == "smtps" else None
    starttls = tls.server if scheme == "smtp" else None
    async with running_smtp_server(
        host=NETWORK, implicit_tls=implicit, starttls=starttls
    ) as server:
        mailer = Mailer(f"{scheme}://{NETWORK}:{server.port}", FROM)
        with pytest.raises(MailUnavailable, match="TLS cannot be trusted"):
            await mailer.send_code(TO, CODE, LINK, 10)
        assert server.mails == []


async def test_a_refused_login_names_the_status_and_no_secret() -> None:
    async with running_smtp_server(login=("portal", "right")) as server:
        mailer = Mailer(f"smtp://portal:wr0ng-secret@127.0.0.1:{server.port}", FROM)
        with pytest.raises(MailUnavailable) as caught:
            await mailer.send_code(TO, CODE, LINK, 10)
    assert "refused the login (535)" in str(caught.value)
    assert_tells_nothing(caught.value, "wr0ng-secret")


async def test_a_refused_recipient_is_not_quoted() -> None:
    async with running_smtp_server(refused_recipient=TO) as server:
        with pytest.raises(MailUnavailable) as caught:
            await Mailer(server.url, FROM).send_code(TO, CODE, LINK, 10)
    assert "refused the recipient (550)" in str(caught.value)
    assert_tells_nothing(caught.value, TO)


def assert_tells_nothing(error: MailUnavailable, secret: str) -> None:
    """Neither the error nor what a traceback would print before it holds `secret` or the code."""
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert secret not in str(error)
    assert CODE not in str(error)


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("anna@visitor.example\r\nBcc: eve@evil.example", id="a second header"),
        pytest.param("anna@visitor.example\n", id="a line feed"),
        pytest.param("anna@visitor.example\x00", id="NUL"),
        pytest.param("anna@visitor.example, eve@evil.example", id="two addresses"),
        pytest.param("anna@visitor.example;eve@evil.example", id="two, with a semicolon"),
        pytest.param("Anna <anna@visitor.example>", id="with a name"),
        pytest.param("<anna@visitor.example>", id="in brackets"),
        pytest.param("friends: anna@visitor.example;", id="a group"),
        pytest.param("anna", id="no domain"),
        pytest.param("@visitor.example", id="no user"),
        pytest.param("anna@", id="empty domain"),
        pytest.param("", id="empty"),
    ],
)
async def test_what_is_not_one_address_is_sent_nowhere(address: str) -> None:
    async with running_smtp_server() as server:
        with pytest.raises(MailUnavailable, match="not one mail address"):
            await Mailer(server.url, FROM).send_code(address, CODE, LINK, 10)
        assert server.mails == []


@asynccontextmanager
async def mute_server(*, hang_up: bool = False, greeting: bytes = b"") -> AsyncIterator[int]:
    """Takes connections and says no more than `greeting`, or hangs up then; yields its port."""
    writers = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        if hang_up:
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.close()
        listener.close()
        await listener.wait_closed()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async with mute_server() as port:
        mailer = Mailer(f"smtp://127.0.0.1:{port}", FROM, timeout=0.2)
        async with asyncio.timeout(2):
            with pytest.raises(MailUnavailable, match="too long"):
                await mailer.send_code(TO, CODE, LINK, 10)


async def test_a_server_that_hangs_up() -> None:
    async with mute_server(hang_up=True, greeting=b"220 mail.example\r\n") as port:
        with pytest.raises(MailUnavailable, match="hung up"):
            await Mailer(f"smtp://127.0.0.1:{port}", FROM).send_code(TO, CODE, LINK, 10)


async def test_no_server() -> None:
    async with mute_server() as port:
        pass
    mailer = Mailer(f"smtp://127.0.0.1:{port}", FROM)
    with pytest.raises(MailUnavailable, match="cannot be reached"):
        await mailer.send_code(TO, CODE, LINK, 10)
    with pytest.raises(MailUnavailable, match="cannot be reached"):
        await mailer.check()


async def test_check_logs_in_and_sends_nothing() -> None:
    async with running_smtp_server(login=("portal", "secret")) as server:
        await Mailer(f"smtp://portal:secret@127.0.0.1:{server.port}", FROM).check()
        assert server.login_tries == 1
        assert server.mails == []
        with pytest.raises(MailUnavailable, match="535"):
            await Mailer(f"smtp://portal:other@127.0.0.1:{server.port}", FROM).check()


async def test_without_a_server_a_printer_gets_the_mail() -> None:
    printed: list[str] = []
    mailer = Mailer(None, None, printer=printed.append)
    assert mailer.can_send()
    await mailer.check()
    await mailer.send_code(TO, CODE, LINK, 10)
    assert len(printed) == 1
    assert f"To: {TO}\n" in printed[0]
    assert f": {CODE}\n" in printed[0]


async def test_without_anything_codes_are_refused() -> None:
    mailer = Mailer(None, None)
    assert not mailer.can_send()
    for attempt in (mailer.send_code(TO, CODE, LINK, 10), mailer.check()):
        with pytest.raises(MailUnavailable, match="no mail server is configured"):
            await attempt


@pytest.mark.parametrize(
    ("url", "sender", "complaint"),
    [
        pytest.param("smtp://mail.example", None, "mail_from", id="no sender"),
        pytest.param(
            "smtp://mail.example", "a@b.example\nX: y", "address", id="sender with a line"
        ),
        pytest.param("http://mail.example", FROM, "smtp://", id="another scheme"),
    ],
)
def test_settings_that_cannot_be_used(url: str, sender: str | None, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Mailer(url, sender)
