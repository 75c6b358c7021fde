"""One request to an address that somebody typed. The one place where aiohttp's client is asked to."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Self

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientSSLError,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from multidict import CIMultiDictProxy
from yarl import URL

from gateway.errors import OutboundFailed, OutboundRefused
from gateway.outbound.addresses import may_speak_to
from gateway.outbound.resolver import GuardedResolver

_REDIRECTS = {301, 302, 303, 307, 308}
_MAX_URL = 2048
# What is no literal and ends like one: `127.1`, `2130706433`, `0x7f.1`, `127.0.0.1.`. The system's
# functions take it for an address that was not judged; no name ends so (the URL Standard, "ends in a number").
_NUMBER_LAST = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?$", re.ASCII)
# Of an answer to a POST nobody needs more than its beginning.
_MAX_POST_ANSWER = 65_536
# Seconds for them.
_BODY_PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one fetch: `timeout` is for all hops together, in seconds."""

    max_bytes: int
    timeout: float
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end (or, to a POST, to the bound); nothing in it is inflated."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class GuardedClient:
    """Asks only what may be asked; use it as an async context manager.

    `allow_private` admits addresses of the own network (`gateway.outbound.addresses`). `tls`
    replaces the system's certificate authorities. No cookies, no proxies of the environment, no
    kept connections.
    """

    def __init__(self, *, allow_private: bool, tls: ssl.SSLContext | None = None) -> None:
        self._allow_private = allow_private
        self._tls = tls
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(
                resolver=GuardedResolver(allow_private=self._allow_private),
                use_dns_cache=False,
                force_close=True,
                ssl=True if self._tls is None else self._tls,
            ),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"User-Agent": "portal-gateway", "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fetch(self, url: str, limits: Limits) -> Reply:
        """GET `url`, following redirects, each judged like the first address.

        Raises OutboundRefused for an address that may not be asked, a step from https down to
        http, too many redirects, or a body over `limits.max_bytes`; OutboundFailed for a network,
        a server or a certificate that does not do its part, and when the time is over.
        """
        async with _translated(limits.timeout):
            target = self._judge(url)
            for _ in range(limits.redirects + 1):
                async with self._request("GET", target) as response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        body = await _read_whole(response, limits.max_bytes)
                        return Reply(response.status, response.headers, body)
                    target = self._follow(target, location)
        raise OutboundRefused("there are too many redirects")

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> Reply:
        """POST `body` once; a redirect is an answer like any other, and is not followed.

        `timeout` is in seconds, for everything. Of the answer's body the first 64 KiB are read, if
        they come soon.
        Raises as `fetch` does.
        """
        async with (
            _translated(timeout),
            self._request("POST", self._judge(url), headers, body) as response,
        ):
            begin = b""
            # The head has said it; a body that does not come takes nothing of it back.
            with suppress(TimeoutError, ClientError, OSError):
                async with asyncio.timeout(_BODY_PATIENCE):
                    begin = await _read_beginning(response, _MAX_POST_ANSWER)
            return Reply(response.status, response.headers, begin)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        target: URL,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> AsyncIterator[ClientResponse]:
        assert self._session is not None, "the client has not been entered"
        async with self._session.request(
            method,
            target,
            headers=headers,
            data=body,
            allow_redirects=False,
            # The one clock is in `_translated`: aiohttp's own would start anew at each hop.
            timeout=ClientTimeout(total=None),
        ) as response:
            yield response

    def _judge(self, url: str) -> URL:
        """`url`, if it may be asked as far as can be told without resolving its name."""
        if len(url) > _MAX_URL or not url.isprintable():
            raise OutboundRefused("the address is no usable URL")
        try:
            target = URL(url)
            host, port = target.host, target.port
        except ValueError:
            raise OutboundRefused("the address is no usable URL") from None
        if target.scheme not in {"http", "https"} or not host or not port:
            raise OutboundRefused("the address has to begin with https:// or http://")
        if target.raw_user is not None or target.raw_password is not None:
            raise OutboundRefused("the address holds a user's name")
        # What aiohttp takes for a literal never comes to the resolver.
        if _is_literal(host):
            if not may_speak_to(host, allow_private=self._allow_private):
                raise OutboundRefused("the address may not be asked")
        elif _NUMBER_LAST.search(host):
            raise OutboundRefused("the address is no usable URL")
        return target.with_fragment(None)

    def _follow(self, source: URL, location: str) -> URL:
        """Where a redirect leads, judged."""
        try:
            target = self._judge(str(source.join(URL(location))))
        except ValueError:
            raise OutboundRefused("a redirect leads to no usable URL") from None
        if source.scheme == "https" and target.scheme != "https":
            raise OutboundRefused("a redirect leads from https to http")
        return target


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@asynccontextmanager
async def _translated(timeout: float) -> AsyncIterator[None]:
    """Within `timeout` seconds, and with no exception of a library."""
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise OutboundFailed("it took too long") from None
    except ClientSSLError:
        raise OutboundFailed("its TLS cannot be trusted") from None
    except (ClientError, OSError, ValueError) as error:
        # The class alone: a library's words quote the address, which may hold a secret.
        raise OutboundFailed(f"it cannot be reached ({type(error).__name__})") from None


async def _read_whole(response: ClientResponse, most: int) -> bytes:
    body = await _read_beginning(response, most + 1)
    if len(body) > most:
        raise OutboundRefused(f"the answer is larger than {most} bytes")
    return body


async def _read_beginning(response: ClientResponse, most: int) -> bytes:
    body = bytearray()
    while len(body) < most and (chunk := await response.content.read(most - len(body))):
        body += chunk
    return bytes(body)
