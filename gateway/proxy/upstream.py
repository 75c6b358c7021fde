"""The backend as an interface, and the one that speaks to it over aiohttp's connections.

What aiohttp's `ClientSession` would add is not wanted: its cookie jar (one for all visitors), its
redirects, its environment's proxies, its own headers, its silent second try of a request whose
kept connection had died. So its pool, its TLS and its parser are used, and the session is not:
the request's head is written here, byte for byte.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property, partial
from time import perf_counter
from typing import Protocol

from aiohttp import (
    BaseConnector,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientRequest,
    ClientSSLError,
    ClientTimeout,
    SocketTimeoutError,
    TCPConnector,
    UnixConnector,
)
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from config.models import LimitSettings, UpstreamSettings
from gateway.errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable
from gateway.metrics import Metrics
from gateway.proxy.answer_head import BadAnswer
from gateway.proxy.backend_socket import BackendSocket, Handshake
from gateway.proxy.connection import BackendConnection, BackendProtocol
from gateway.proxy.headers import Headers, RawHeaders, UpstreamHeaders
from gateway.proxy.kept import KeptConnections

# From here on an answer says that the backend does not want the rest of the body.
_STOPS_UPLOAD = 300


class RequestBody(Protocol):
    """A body on its way to the backend; `length` None is sent in chunks."""

    @property
    def length(self) -> int | None: ...

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. What it raises ends the request, and `send` raises it."""
        ...


class UpstreamAnswer(Protocol):
    """The backend's answer, whose body is still arriving.

    Whoever holds one reads it to its end, or aborts it.
    """

    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def headers(self) -> RawHeaders: ...

    def read_ready(self) -> bytes:
        """What is here by now, without waiting; b"" if nothing is. Does not raise."""
        ...

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" at the end, where the connection is released.

        Raises UpstreamUnavailable or UpstreamTimeout if the end never comes, and whatever the
        request's body raised.
        """
        ...

    def release(self) -> None:
        """Be done with it; the connection is kept if request and answer have come to their ends."""
        ...

    def abort(self) -> None:
        """End the connection at once, and the upload with it."""
        ...

    async def end_upload(self) -> None:
        """Return when nobody reads the request's body any more; what was left of it is unread."""
        ...


class Upstream(Protocol):
    """One configured backend."""

    @property
    def headers(self) -> UpstreamHeaders: ...
    @property
    def metrics(self) -> Metrics: ...

    async def send(
        self, method: str, target: str, headers: Headers, body: RequestBody | None
    ) -> UpstreamAnswer:
        """Send a request, once, and return when the answer's head is there.

        `target` is sent as it is. `headers` are all headers but those that frame the body. An
        answer may come before the body was sent: from 300 on it ends the upload. Raises
        UpstreamUnavailable (`connect`, `dns`, `tls`, `reset`, `protocol`), UpstreamTimeout
        (`connect_timeout`, `read_timeout`), and whatever `body` raises.
        """
        ...

    async def open_websocket(
        self, target: str, headers: Headers, protocols: tuple[str, ...]
    ) -> BackendSocket | UpstreamAnswer:
        """Open a WebSocket, offering `protocols`; an answer if the backend will not."""
        ...

    async def close(self) -> None:
        """End every connection."""
        ...


class AiohttpUpstream:
    """An `Upstream`. It belongs to the event loop that it is made in."""

    def __init__(self, settings: UpstreamSettings, limits: LimitSettings, metrics: Metrics) -> None:
        self.headers = upstream_headers(settings)
        self.metrics = metrics
        self._loop = loop = asyncio.get_running_loop()
        self._counting = _Counting(metrics)
        self._responses = {
            number: metrics.tally(metrics.upstream_responses_total.labels(f"{number}xx"))
            for number in range(1, 6)
        }
        self._read_timeout = limits.upstream_read_timeout
        connect = limits.upstream_connect_timeout
        self._timeout = ClientTimeout(total=None, connect=connect, sock_connect=connect)
        self._kept = KeptConnections(loop)
        self._connector = _connector(settings)
        # aiohttp's pool makes its connections with this, and has no other place for our gate.
        self._connector._factory = partial(BackendProtocol, loop)  # type: ignore[assignment]
        self._place = _Place(
            "GET", URL(f"{self.headers.origin}/"), loop=loop, ssl=_tls(settings) or True
        )

    async def send(
        self, method: str, target: str, headers: Headers, body: RequestBody | None
    ) -> UpstreamAnswer:
        """See `Upstream`."""
        started = perf_counter()
        with self._counting:
            connection = await self._connect()
            upload: asyncio.Task[bool] | None = None
            try:
                connection.protocol.expect_answer(
                    method=method, upgrading=False, read_timeout=self._read_timeout
                )
                upload = self._begin(connection, _head(method, target, headers, body), body)
                with _translated:
                    message, payload = await connection.read_head()
            except BaseException:
                connection.abort()
                await _end(upload)
                raise
        self._count(message.code, started)
        if message.code >= _STOPS_UPLOAD:
            _stop(upload)
        return _Answer(connection, message, payload, upload)

    async def open_websocket(
        self, target: str, headers: Headers, protocols: tuple[str, ...]
    ) -> BackendSocket | UpstreamAnswer:
        """See `Upstream`."""
        started = perf_counter()
        handshake = Handshake(protocols)
        with self._counting:
            connection = await self._connect()
            try:
                connection.protocol.expect_answer(
                    method="GET", upgrading=True, read_timeout=self._read_timeout
                )
                head = _head("GET", target, headers + handshake.headers, None)
                self._begin(connection, head, None)
                with _translated:
                    message, payload = await connection.read_head()
                self._count(message.code, started)
                if message.code != 101:
                    return _Answer(connection, message, payload, None)
                with _translated:
                    return handshake.finish(connection, message)
            except BaseException:
                connection.abort()
                raise

    async def close(self) -> None:
        """See `Upstream`."""
        self._kept.close()
        await self._connector.close()

    async def _connect(self) -> BackendConnection:
        connection = self._kept.take()
        if connection is None:
            connection = await self._make_connection()
        return BackendConnection(connection, self._kept, self._loop)

    async def _make_connection(self) -> Connection:
        try:
            return await self._connector.connect(self._place, [], self._timeout)
        except TimeoutError:
            raise UpstreamTimeout("connect_timeout") from None
        except ClientConnectorDNSError as error:
            raise UpstreamUnavailable("dns", type(error).__name__) from error
        except (ClientConnectorCertificateError, ClientSSLError, ssl.SSLError) as error:
            raise UpstreamUnavailable("tls", type(error).__name__) from error
        except (ClientConnectorError, ClientError, OSError) as error:
            raise UpstreamUnavailable("connect", type(error).__name__) from error

    def _begin(
        self, connection: BackendConnection, head: bytes, body: RequestBody | None
    ) -> asyncio.Task[bool] | None:
        """Send the head; the task that sends the body, if there is one."""
        with _translated:
            connection.write_head(head)
        if body is None or body.length == 0:
            connection.protocol.start_timeout()
            return None
        return self._loop.create_task(self._upload(connection, body))

    async def _upload(self, connection: BackendConnection, body: RequestBody) -> bool:
        """Send the body; whether it was sent to its end."""
        protocol = connection.protocol
        writer = connection.body_writer(chunked=body.length is None)
        try:
            while chunk := await body.read():
                await writer.write(chunk, drain=False)
                if protocol.writing_paused:
                    async with asyncio.timeout(self._read_timeout):
                        await writer.drain()
            await writer.write_eof()
        except TimeoutError:
            protocol.fail(UpstreamTimeout("read_timeout"))
        except ConnectionError:
            pass  # The backend has left, perhaps after an answer: who reads that will know.
        except Exception as error:  # A task's own error would be seen by nobody.
            protocol.fail(error)
        else:
            if protocol.awaits_head:
                protocol.start_timeout()
            return True
        return False

    def _count(self, status: int, started: float) -> None:
        self.metrics.upstream_duration_seconds.observe(perf_counter() - started)
        self._responses[status // 100].inc()


class _Place(ClientRequest):
    """For the pool, a request is no more than the place that it goes to: always the same one."""

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


class _Translated:
    """The one boundary: whatever goes wrong with a connection becomes an UpstreamError.

    A class and not a generator, because it stands four times on the way of every request.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if error is None:
            return
        if isinstance(error, SocketTimeoutError):
            raise UpstreamTimeout("read_timeout") from None
        if isinstance(error, BadAnswer | HttpProcessingError):
            cause = str(error) if isinstance(error, BadAnswer) else type(error).__name__
            raise UpstreamUnavailable("protocol", cause) from error
        if isinstance(error, ClientError | OSError):
            raise UpstreamUnavailable("reset", type(error).__name__) from error


_translated = _Translated()


class _Counting:
    """Counts the errors that pass."""

    def __init__(self, metrics: Metrics) -> None:
        self._errors = metrics.upstream_errors_total

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        if isinstance(error, UpstreamError):
            self._errors.labels(error.kind).inc()


class _Answer:
    """An `UpstreamAnswer`."""

    __slots__ = ("_connection", "_payload", "_upload", "headers", "reason", "status")

    def __init__(
        self,
        connection: BackendConnection,
        message: RawResponseMessage,
        payload: StreamReader,
        upload: asyncio.Task[bool] | None,
    ) -> None:
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers: RawHeaders = message.raw_headers
        self._connection = connection
        self._payload = payload
        self._upload = upload

    def read_ready(self) -> bytes:
        return b"" if self._payload.exception() is not None else self._payload.read_nowait()

    async def read(self) -> bytes:
        payload = self._payload
        if payload.at_eof() and payload.exception() is None:
            chunk = b""
        else:
            with _translated:
                chunk = await payload.readany()
        if not chunk:
            self.release()
        return chunk

    def release(self) -> None:
        if _was_sent(self._upload) and self._payload.is_eof():
            self._connection.release()
        else:
            self.abort()

    def abort(self) -> None:
        _stop(self._upload)
        self._connection.abort()

    async def end_upload(self) -> None:
        await _end(self._upload)


def upstream_headers(settings: UpstreamSettings) -> UpstreamHeaders:
    """What the settings say of the headers to send."""
    origin = "http://localhost" if settings.socket_path else settings.url
    return UpstreamHeaders(
        origin=origin,
        host=origin.partition("://")[2],
        preserve_host=settings.preserve_host,
        extra={name: value.get_secret_value() for name, value in settings.headers.items()},
    )


def _connector(settings: UpstreamSettings) -> BaseConnector:
    if settings.socket_path:
        return UnixConnector(settings.socket_path, limit=0)
    return TCPConnector(limit=0)


def _tls(settings: UpstreamSettings) -> ssl.SSLContext | None:
    """The TLS settings; None for aiohttp's own: the system's authorities, no certificate."""
    if settings.ca_file is None and settings.client_cert_file is None:
        return None
    context = ssl.create_default_context(cafile=settings.ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_cert_file is not None:
        context.load_cert_chain(settings.client_cert_file, settings.client_key_file)
    return context


def _head(method: str, target: str, headers: Headers, body: RequestBody | None) -> bytes:
    """A request's head (RFC 9112 section 3); a character of a header is a byte."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body is not None:
        framing = "Transfer-Encoding: chunked"
        lines.append(framing if body.length is None else f"Content-Length: {body.length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _was_sent(upload: asyncio.Task[bool] | None) -> bool:
    """Whether the request is whole: the backend would take the next one for what is missing."""
    if upload is None:
        return True
    return upload.done() and not upload.cancelled() and upload.result()


def _stop(upload: asyncio.Task[bool] | None) -> None:
    if upload is not None:
        upload.cancel()


async def _end(upload: asyncio.Task[bool] | None) -> None:
    if upload is not None and not upload.done():
        upload.cancel()
        await asyncio.wait([upload])
