"""Mails, through a real mail server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.errors import MailRefused, MailUnavailable
from gateway.notify.letter import Content, Letter, compose, parse_address
from gateway.notify.mail import Mailer
from tests.gateway_process import quiet_port
from tests.smtp_server import running_smtp_server

FROM = "portal@facility.example"
TO = "anna@visitor.example"
CODE = "048215"
LETTER = Letter(FROM, TO, f"Subject: Hello: {CODE}\r\n\r\nYour code is {CODE}\r\n")
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


async def test_a_letter_arrives_as_it_was_written() -> None:
    async with running_smtp_server() as server:
        await Mailer(server.url, FROM).send(LETTER)
        mail = await server.next_mail()
    assert (mail.sender, mail.recipients) == (FROM, [TO])
    assert mail.content == LETTER.message.encode()
    assert mail.greeting == "facility.example"


async def test_a_login_is_sent_decoded() -> None:
    async with running_smtp_server(login=("portal@x", "p:/ä ss")) as server:
        mailer = Mailer(f"smtp://portal%40x:p%3A%2F%C3%A4%20ss@127.0.0.1:{server.port}", FROM)
        await mailer.send(LETTER)
        assert (await server.next_mail()).user == "portal@x"


async def test_starttls_is_used_where_it_is_offered(tls: Tls) -> None:
    async with running_smtp_server(starttls=tls.server) as server:
        await Mailer(server.url, FROM).send(LETTER)
        assert (await server.next_mail()).over_tls


async def test_a_login_across_a_network_goes_over_starttls(tls: Tls) -> None:
    async with running_smtp_server(
        host=NETWORK, starttls=tls.server, login=("portal", "secret")
    ) as server:
        url = f"smtp://portal:secret@{NETWORK}:{server.port}"
        await Mailer(url, FROM, tls=tls.client).send(LETTER)
        mail = await server.next_mail()
    assert mail.over_tls
    assert mail.user == "portal"


async def test_a_server_that_asks_for_tls_and_a_login(tls: Tls) -> None:
    """On loopback, too, where neither is demanded from this side."""
    async with running_smtp_server(
        starttls=tls.server, login=("portal", "secret"), is_strict=True
    ) as server:
        with pytest.raises(MailUnavailable, match="530") as caught:
            await Mailer(server.url, FROM).send(LETTER)
        # That is no verdict on the mail: it goes as soon as the settings are right.
        assert not isinstance(caught.value, MailRefused)
        assert server.mails == []
        mailer = Mailer(f"smtp://portal:secret@127.0.0.1:{server.port}", FROM)
        for _ in range(2):
            await mailer.send(LETTER)
            mail = await server.next_mail()
            assert (mail.over_tls, mail.user) == (True, "portal")
        await mailer.rest()


async def test_a_login_never_crosses_a_network_in_the_clear() -> None:
    async with running_smtp_server(host=NETWORK, login=("portal", "secret")) as server:
        mailer = Mailer(f"smtp://portal:secret@{NETWORK}:{server.port}", FROM)
        with pytest.raises(MailUnavailable, match="STARTTLS"):
            await mailer.send(LETTER)
        assert server.login_tries == 0
        assert server.mails == []


async def test_smtps(tls: Tls) -> None:
    async with running_smtp_server(host=NETWORK, implicit_tls=tls.server) as server:
        url = f"smtps://{NETWORK}:{server.port}"
        await Mailer(url, FROM, tls=tls.client).send(LETTER)
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
            await mailer.send(LETTER)
        assert server.mails == []


async def test_a_refused_login_names_the_status_and_no_secret() -> None:
    async with running_smtp_server(login=("portal", "right")) as server:
        mailer = Mailer(f"smtp://portal:wr0ng-secret@127.0.0.1:{server.port}", FROM)
        with pytest.raises(MailUnavailable) as caught:
            await mailer.send(LETTER)
    assert "refused the login (535)" in str(caught.value)
    assert_tells_nothing(caught.value, "wr0ng-secret")


async def test_a_refused_recipient_is_not_quoted() -> None:
    async with running_smtp_server() as server:
        server.answers[TO] = f"550 5.1.1 <{TO}> does not live here"
        with pytest.raises(MailRefused) as caught:
            await Mailer(server.url, FROM).send(LETTER)
    assert "refused the recipient (550)" in str(caught.value)
    assert_tells_nothing(caught.value, TO)


@pytest.mark.parametrize(
    ("answer", "is_final"),
    [
        pytest.param("451 4.7.1 greylisted", False, id="not now"),
        pytest.param("421 4.3.2 shutting down", False, id="not on this connection"),
        pytest.param("550 5.7.1 looks like spam", True, id="never"),
        pytest.param("554 5.6.0 no", True, id="never, in general"),
        pytest.param(None, False, id="no answer at all"),
    ],
)
async def test_what_the_server_makes_of_a_mail(answer: str | None, is_final: bool) -> None:
    async with running_smtp_server() as server:
        server.data_answers = [answer]
        mailer = Mailer(server.url, FROM)
        with pytest.raises(MailUnavailable) as caught:
            await mailer.send(LETTER)
        assert isinstance(caught.value, MailRefused) is is_final
        # Whatever it was, the next one goes.
        await mailer.send(LETTER)
        await mailer.rest()


async def test_a_login_that_is_refused_is_no_verdict_on_the_mail() -> None:
    async with running_smtp_server(login=("portal", "right")) as server:
        with pytest.raises(MailUnavailable) as caught:
            await Mailer(f"smtp://portal:wrong@127.0.0.1:{server.port}", FROM).send(LETTER)
    assert not isinstance(caught.value, MailRefused)


async def test_one_connection_carries_several_mails_until_there_is_a_rest() -> None:
    async with running_smtp_server() as server:
        mailer = Mailer(server.url, FROM)
        for _ in range(3):
            await mailer.send(LETTER)
        assert server.connections == 1
        server.answers[TO] = "550 no"
        with pytest.raises(MailRefused):
            await mailer.send(LETTER)
        await mailer.send(replace(LETTER, recipient="bob@visitor.example"))
        assert server.connections == 1
        await mailer.rest()
        await mailer.send(replace(LETTER, recipient="bob@visitor.example"))
        assert server.connections == 2
        await mailer.rest()


async def test_a_kept_connection_that_the_server_ended_is_not_used() -> None:
    port = quiet_port()
    mailer = Mailer(f"smtp://127.0.0.1:{port}", FROM)
    for _ in range(2):
        async with running_smtp_server(port=port) as server:
            await mailer.send(LETTER)
            assert (await server.next_mail()).recipients == [TO]
    await mailer.rest()


async def test_a_send_that_is_cancelled_leaves_no_connection_behind() -> None:
    async with running_smtp_server() as server:
        server.held[TO] = asyncio.Event()
        mailer = Mailer(server.url, FROM)
        sending = asyncio.create_task(mailer.send(LETTER))
        async with asyncio.timeout(5):
            while not server.connections:
                await asyncio.wait({sending}, timeout=0.01)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await mailer.send(replace(LETTER, recipient="bob@visitor.example"))
        assert server.connections == 2
        await mailer.rest()


def assert_tells_nothing(error: MailUnavailable, secret: str) -> None:
    """Neither the error nor what a traceback would print before it holds `secret` or the code."""
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert secret not in str(error)
    assert CODE not in str(error)


async def test_an_address_that_cannot_be_written_is_refused() -> None:
    async with running_smtp_server() as server:
        mailer = Mailer(server.url, FROM)
        with pytest.raises(MailRefused) as caught:
            await mailer.send(replace(LETTER, recipient="ännä@x.example"))
        assert_tells_nothing(caught.value, "ännä")
        assert server.mails == []
        await mailer.rest()


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
                await mailer.send(LETTER)


async def test_a_server_that_takes_a_mail_and_says_nothing_is_given_up_later() -> None:
    async with running_smtp_server() as server:
        server.held[TO] = asyncio.Event()
        mailer = Mailer(server.url, FROM, timeout=0.05, patience=0.2)
        assert mailer.longest == pytest.approx(0.25)
        with pytest.raises(MailUnavailable, match="too long"):
            await mailer.send(LETTER)
        assert not mailer._idle


async def test_a_server_that_hangs_up() -> None:
    async with mute_server(hang_up=True, greeting=b"220 mail.example\r\n") as port:
        with pytest.raises(MailUnavailable, match="hung up"):
            await Mailer(f"smtp://127.0.0.1:{port}", FROM).send(LETTER)


async def test_no_server() -> None:
    async with mute_server() as port:
        pass
    mailer = Mailer(f"smtp://127.0.0.1:{port}", FROM)
    with pytest.raises(MailUnavailable, match="cannot be reached"):
        await mailer.send(LETTER)
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
    content = Content(f"Hello: {CODE}", "Grüße, 100 %\n", "<p>Grüße</p>", "de")
    message = compose(
        mailer.sender, parse_address(TO), content, message_id="<1@x>", now=1_780_000_000
    )
    await mailer.send(replace(LETTER, message=message))
    assert printed == [
        f"From: portal@localhost\nTo: {TO}\nSubject: Hello: {CODE}\n"
        "Date: Thu, 28 May 2026 20:26:40 +0000\n\nGrüße, 100 %\n"
    ]


async def test_without_anything_codes_are_refused() -> None:
    mailer = Mailer(None, None)
    assert not mailer.can_send()
    for attempt in (mailer.send(LETTER), mailer.check()):
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
