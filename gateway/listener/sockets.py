"""What is listened on: TCP, a unix socket, or what systemd hands over."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gateway.errors import GatewayError

SOCKET_MODE = 0o660
"""A unix socket is for its owner and group: the front proxy belongs into that group."""
FIRST_ACTIVATED = 3
"""The first file descriptor that systemd hands over (sd_listen_fds(3))."""
ADMIN_NAME = "admin"

_TCP = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>[0-9]{1,5})")


class ListenError(GatewayError):
    """It cannot be listened there; the message names the setting's value and says why."""


async def open_sockets(
    listen: str,
    *,
    name: Literal["visitors", "admin"] = "visitors",
    environ: Mapping[str, str] | None = None,
) -> list[socket.socket]:
    """The bound sockets for a value of the settings `listen` or `admin_listen`.

    `host:port` and `[v6]:port` (a host name gives a socket for each of its addresses; port 0 is
    any free one), `unix:/path`, or `systemd`. Of the sockets of systemd, the admin listener gets
    those with `FileDescriptorName=admin`, the visitors' all others. Raises ListenError.
    """
    if listen == "systemd":
        return _activated(name, os.environ if environ is None else environ)
    if listen.startswith("unix:"):
        return [_open_unix(Path(listen.removeprefix("unix:")))]
    match = _TCP.fullmatch(listen)
    if match is None or int(match["port"]) > 65535:
        raise ListenError(
            f"{listen!r} is not 'host:port', '[v6 address]:port', 'unix:/path' or 'systemd'"
        )
    return await _open_tcp(listen, match["v6"] or match["host"], int(match["port"]))


async def _open_tcp(listen: str, host: str, port: int) -> list[socket.socket]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(f"{listen!r}: the host is not known ({error.strerror})") from error
    opened: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((each[0], each[4]) for each in found):
            opened.append(_bind_tcp(family, address))
    except OSError as error:
        for sock in opened:
            sock.close()
        raise ListenError(f"{listen!r} cannot be listened on: {error.strerror}") from error
    return opened


def _bind_tcp(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # A v4 address has a socket of its own, and keeps its form in the access log.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _open_unix(path: Path) -> socket.socket:
    """Bind a unix socket; what a dead process left at its path is replaced."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.setblocking(False)
        sock.bind(str(path))
        # Nobody can connect before `listen`, so nobody slips in under the wider mode.
        path.chmod(SOCKET_MODE)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error)
        raise ListenError(f"'unix:{path}' cannot be listened on: {reason}") from error
    except ListenError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"'unix:{path}' cannot be listened on: a file is there that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise ListenError(f"'unix:{path}' cannot be listened on: another process listens there")


def _activated(name: str, environ: Mapping[str, str]) -> list[socket.socket]:
    """The sockets that systemd handed to this very process."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        raise ListenError("'systemd': no socket was handed over to this process")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (int(count) - len(names))
    wanted = [
        FIRST_ACTIVATED + position
        for position in range(int(count))
        if (names[position] == ADMIN_NAME) == (name == ADMIN_NAME)
    ]
    if not wanted:
        raise ListenError(f"'systemd': none of the sockets handed over is for the {name} listener")
    return [_adopt(fd) for fd in wanted]


def _adopt(fd: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise ListenError(f"'systemd': file descriptor {fd} is no socket") from error
    os.set_inheritable(fd, False)
    sock.setblocking(False)
    return sock
