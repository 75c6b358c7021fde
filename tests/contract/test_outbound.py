"""The guarded client before real servers: what it asks, what it refuses, and where it stops."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from aiohttp import ThreadedResolver, web
from aiohttp.test_utils import TestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.errors import OutboundFailed, OutboundRefused
from gateway.outbound import GuardedClient, Limits

LIMITS = Limits(max_bytes=1000, timeout=5)
PUBLIC = "93.184.215.14"


@pytest.fixture
async def client() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(allow_private=True) as client:
        yield client


@pytest.fixture
async def strict() -> AsyncIterator[GuardedClient]:
    """As it is unless the settings say otherwise."""
    async with GuardedClient(allow_private=False) as client:
        yield client


@dataclass
class Site:
    """A web server that answers each path in its own way, and what it was asked."""

    server: TestServer
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def url(self, path: str) -> str:
        return str(self.server.make_url(path))


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    seen: list[tuple[str, str, dict[str, str], bytes]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        match request.path.split("/")[1:]:
            case ["size", length]:
                return web.Response(body=bytes(int(length)))
            case ["hops", left] if int(left):
                return web.Response(status=302, headers={"Location": f"/hops/{int(left) - 1}"})
            case ["to"]:
                return web.Response(status=307, headers={"Location": request.query["url"]})
            case ["status", status]:
                return web.Response(status=int(status), text="so it is")
            case ["endless"]:
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(bytes(500))
            case ["hang"]:
                await asyncio.Event().wait()
        return web.Response(text="here", headers={"Set-Cookie": "a=b"})

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(application, host="127.0.0.1") as server:
        yield Site(server, seen)


def names(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> list[str]:
    """Make the system's resolver know these names; returns the list of what it is asked."""
    asked: list[str] = []

    async def resolve(
        self: ThreadedResolver, host: str, port: int = 0, family: int = socket.AF_INET
    ) -> list[dict[str, object]]:
        asked.append(host)
        if host not in table:
            raise OSError(None, "no such name")
        return [
            {
                "hostname": host, "host": address, "port": port, "proto": 0,
                "family": socket.AF_INET6 if ":" in address else socket.AF_INET,
                "flags": socket.AI_NUMERICHOST,
            }
            for address in table[host]
        ]  # fmt: skip

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    return asked


async def test_a_fetch(client: GuardedClient, site: Site) -> None:
    reply = await client.fetch(site.url("/a%2Fb?c=%26#part"), LIMITS)
    assert (reply.status, reply.body) == (200, b"here")
    ((method, path, headers, body),) = site.seen
    assert (method, path, body) == ("GET", "/a%2Fb?c=%26", b"")
    assert headers["Accept-Encoding"] == "identity"
    # No cookie is kept from one request to the next.
    await client.fetch(site.url("/a"), LIMITS)
    assert "Cookie" not in site.seen[1][2]


async def test_a_post_is_sent_once_and_follows_nothing(client: GuardedClient, site: Site) -> None:
    url = site.url("/to?url=/elsewhere")
    reply = await client.post(url, {"Webhook-Id": "msg_1"}, b"{}", 5)
    assert reply.status == 307
    ((method, _, headers, body),) = site.seen
    assert (method, headers["Webhook-Id"], body) == ("POST", "msg_1", b"{}")


async def test_a_post_does_not_read_an_endless_answer(client: GuardedClient, site: Site) -> None:
    reply = await client.post(site.url("/endless"), {}, b"", 5)
    assert len(reply.body) == 65_536


@pytest.mark.parametrize("status", [204, 404, 410, 500])
async def test_a_status_is_an_answer(client: GuardedClient, site: Site, status: int) -> None:
    assert (await client.fetch(site.url(f"/status/{status}"), LIMITS)).status == status


async def test_as_much_as_is_allowed_and_not_a_byte_more(client: GuardedClient, site: Site) -> None:
    assert len((await client.fetch(site.url("/size/1000"), LIMITS)).body) == 1000
    for path in ("/size/1001", "/endless"):
        with pytest.raises(OutboundRefused, match="larger than 1000 bytes"):
            await client.fetch(site.url(path), LIMITS)


async def test_five_redirects_and_not_a_sixth(client: GuardedClient, site: Site) -> None:
    assert (await client.fetch(site.url("/hops/5"), LIMITS)).body == b"here"
    with pytest.raises(OutboundRefused, match="too many redirects"):
        await client.fetch(site.url("/hops/6"), LIMITS)


async def test_a_server_that_hangs_is_given_up(client: GuardedClient, site: Site) -> None:
    with pytest.raises(OutboundFailed, match="too long"):
        await client.fetch(site.url("/hang"), Limits(1000, 0.1))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("ftp://example.com/", id="another scheme"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("gopher://127.0.0.1:6379/_INFO", id="gopher"),
        pytest.param("//example.com/", id="no scheme"),
        pytest.param("example.com", id="no scheme, no slashes"),
        pytest.param("", id="nothing"),
        pytest.param("https://", id="no host"),
        pytest.param("https://user@example.com/", id="a user"),
        pytest.param("https://user:secret@example.com/", id="a password"),
        pytest.param("https://:secret@example.com/", id="a password alone"),
        pytest.param("https://example.com:0/", id="port 0"),
        pytest.param("https://example.com:99999/", id="no such port"),
        pytest.param("https://[::1/", id="half a literal"),
        pytest.param("https://example.com/\r\nX: y", id="a line break"),
        pytest.param("https://example.com/" + "a" * 2048, id="too long"),
        pytest.param("http://169.254.169.254/latest/meta-data/", id="metadata"),
        pytest.param("http://10.0.0.1/", id="private"),
        pytest.param("http://[fe80::1%25lo]/", id="link-local with a zone"),
    ],
)
async def test_an_address_that_is_never_asked(strict: GuardedClient, url: str) -> None:
    for asked in (strict.fetch(url, LIMITS), strict.post(url, {}, b"", 5)):
        with pytest.raises(OutboundRefused) as caught:
            await asked
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="plain"),
        pytest.param("127.1", id="short"),
        pytest.param("2130706433", id="a number"),
        pytest.param("017700000001", id="an octal number"),
        pytest.param("0x7f000001", id="hexadecimal"),
        pytest.param("0X7F.1", id="hexadecimal and short"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("127.0.0.1.", id="with a dot"),
        pytest.param("127.0.0.0x1", id="the last in hexadecimal"),
        pytest.param("①②⑦.0.0.1", id="circled digits"),
        pytest.param("１２７。０。０。１", id="wide digits and dots"),
        pytest.param("localhost", id="by name"),
        pytest.param("LOCALHOST", id="by name, in capitals"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("0", id="unspecified, short"),
        pytest.param("[::1]", id="IPv6"),
        pytest.param("[::ffff:127.0.0.1]", id="mapped"),
        pytest.param("[::ffff:7f00:1]", id="mapped, in hexadecimal"),
        pytest.param("[::127.0.0.1]", id="compatible"),
        pytest.param("[64:ff9b::7f00:1]", id="NAT64"),
        pytest.param("[2002:7f00:1::]", id="6to4"),
    ],
)
async def test_no_spelling_of_loopback_is_asked(
    strict: GuardedClient, site: Site, host: str
) -> None:
    """Somebody listens there: what reached a socket would be seen."""
    url = f"http://{host}:{site.server.port}/"
    for asked in (strict.fetch(url, LIMITS), strict.post(url, {}, b"", 5)):
        with pytest.raises(OutboundRefused):
            await asked
    assert site.seen == []


async def test_link_local_stays_refused_where_private_is_allowed(client: GuardedClient) -> None:
    with pytest.raises(OutboundRefused):
        await client.fetch("http://169.254.169.254/", LIMITS)


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(["127.0.0.1"], id="loopback"),
        pytest.param([PUBLIC, "127.0.0.1"], id="a public one first"),
        pytest.param(["127.0.0.1", PUBLIC], id="a public one last"),
        pytest.param([PUBLIC, "::ffff:127.0.0.1"], id="a mapped one"),
        pytest.param(["100.64.0.1"], id="carrier-grade NAT"),
    ],
)
async def test_one_bad_address_spoils_a_name(
    strict: GuardedClient, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    names(monkeypatch, {"logo.example": addresses})
    with pytest.raises(OutboundRefused, match="may not be asked"):
        await strict.fetch("http://logo.example/", LIMITS)


async def test_a_name_is_resolved_once_for_a_request(
    client: GuardedClient, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up could be answered with another address."""
    asked = names(monkeypatch, {"logo.example": ["127.0.0.1"]})
    assert (await client.fetch(f"http://logo.example:{site.server.port}/", LIMITS)).body == b"here"
    assert asked == ["logo.example"]
    assert site.seen[0][2]["Host"] == f"logo.example:{site.server.port}"


async def test_a_name_that_nobody_knows(
    strict: GuardedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, {})
    with pytest.raises(OutboundFailed):
        await strict.fetch("http://logo.example/", LIMITS)


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://169.254.169.254/", id="link-local"),
        pytest.param("http://[::ffff:127.0.0.1]/", id="mapped"),
        pytest.param("//bad.example/", id="a name with a bad address"),
        pytest.param("file:///etc/passwd", id="a file"),
        pytest.param("http://user@127.0.0.1/", id="a user"),
        pytest.param("http://[", id="no URL"),
    ],
)
async def test_a_redirect_is_judged_like_a_first_address(
    client: GuardedClient, site: Site, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    names(monkeypatch, {"bad.example": ["127.0.0.1", "169.254.169.254"]})
    with pytest.raises(OutboundRefused):
        await client.fetch(str(site.server.make_url("/to").with_query(url=location)), LIMITS)
    assert len(site.seen) == 1


async def test_nobody_listens(client: GuardedClient) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(OutboundFailed, match="cannot be reached"):
            await client.fetch(f"http://127.0.0.1:{closed.getsockname()[1]}/", LIMITS)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's certificate for 127.0.0.1, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "logo")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def _serving(
    context: ssl.SSLContext, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
) -> tuple[web.ServerRunner, str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, f"https://127.0.0.1:{runner.addresses[0][1]}/"


async def test_tls(
    client: GuardedClient, site: Site, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A certificate has to be trusted, and nothing leads from https down to http."""

    async def down(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=301, headers={"Location": site.url("/")})

    runner, url = await _serving(tls[0], down)
    try:
        with pytest.raises(OutboundFailed, match="TLS"):
            await client.fetch(url, LIMITS)
        async with GuardedClient(allow_private=True, tls=tls[1]) as trusting:
            assert (await trusting.post(url, {}, b"", 5)).status == 301
            with pytest.raises(OutboundRefused, match="https to http"):
                await trusting.fetch(url, LIMITS)
    finally:
        await runner.cleanup()
    assert site.seen == []
