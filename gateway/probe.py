"""Whether a backend can be reached and speaks HTTP: what `check` tries."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from config.models import UpstreamSettings

_STATUS_LINE_LIMIT = 1024  # bytes


class ProbeFailed(Exception):
    """The backend cannot be used as it is configured; the text says why."""


async def probe_upstream(upstream: UpstreamSettings, timeout: float) -> int:
    """Ask the backend for the head of `/`, as nobody in particular; the status that it answers.

    Any status will do: the answer shows that HTTP is spoken there. No header of the settings is
    sent. Raises ProbeFailed. `timeout` is in seconds, for all of it.
    """
    tls = _tls(upstream) if upstream.url.startswith("https:") else None
    try:
        async with asyncio.timeout(timeout):
            return await _ask(upstream, tls)
    except TimeoutError:
        raise ProbeFailed("it does not answer in time") from None
    except ssl.SSLCertVerificationError as error:
        raise ProbeFailed(f"its certificate is not trusted: {error.verify_message}") from None
    except ssl.SSLError as error:
        raise ProbeFailed(f"TLS fails: {error.reason}") from None
    except OSError as error:
        raise ProbeFailed(f"it cannot be reached: {error.strerror or error}") from None


def _tls(upstream: UpstreamSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=upstream.ca_file)
    except OSError as error:
        raise ProbeFailed(f"ca_file cannot be used: {error.strerror or error}") from None
    if upstream.client_cert_file is not None:
        try:
            context.load_cert_chain(upstream.client_cert_file, upstream.client_key_file)
        except OSError as error:
            raise ProbeFailed(f"client_cert_file cannot be used: {error.strerror}") from None
    return context


async def _ask(upstream: UpstreamSettings, tls: ssl.SSLContext | None) -> int:
    reader, writer = await _connect(upstream, tls)
    try:
        host = "localhost" if upstream.socket_path else urlsplit(upstream.url).netloc
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        # A server that greets, as for mail or SSH, may never end a line: a bound, too.
        line = (await reader.read(_STATUS_LINE_LIMIT)).split(b"\r\n", 1)[0]
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    version, _, rest = line.partition(b" ")
    if version not in {b"HTTP/1.0", b"HTTP/1.1"} or not rest[:3].isdigit():
        raise ProbeFailed("what answers there is no HTTP")
    return int(rest[:3])


async def _connect(
    upstream: UpstreamSettings, tls: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if upstream.socket_path is not None:
        return await asyncio.open_unix_connection(upstream.socket_path)
    parts = urlsplit(upstream.url)
    port = parts.port or (443 if tls is not None else 80)
    return await asyncio.open_connection(parts.hostname, port, ssl=tls)
