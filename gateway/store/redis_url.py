"""What a `redis_url` names, as a value. Pure: nothing is connected here.

embedded                                 inside the process
redis://[[user]:password@]host[:6379][/db]       one server; rediss:// for TLS
unix://[[user]:password@]/path[?db=n]            one server, by its socket
redis+sentinel://[[user]:password@]h1[:26379],h2/name[/db]   the master that the Sentinels name
redis+cluster://[[user]:password@]h1[:6379],h2   a cluster, found from any of these nodes

The user and password are the data nodes'. Options of TLS follow as a query: `ssl_ca_certs`,
`ssl_certfile`, `ssl_keyfile`, `ssl_cert_reqs`, `ssl_check_hostname`; no other is known, for the
client library would take any of its own from there, timeouts included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

Kind = Literal["embedded", "server", "sentinel", "cluster"]

_SENTINEL_PORT = 26379
_REDIS_PORT = 6379
_TLS_OPTIONS = frozenset(
    {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
)


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Where Redis is. `nodes` are Sentinels, or nodes of a cluster, or the one server."""

    kind: Kind
    nodes: tuple[tuple[str, int], ...] = ()
    unix_path: str | None = None
    service: str | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_options: tuple[tuple[str, str | bool], ...] = ()


def parse_redis_url(url: str) -> RedisTarget:
    """What `url` names. Raises ValueError, which names `redis_url` and never holds a password."""
    if url == "embedded":
        return RedisTarget("embedded")
    try:
        return _parse(urlsplit(url))
    except _BadUrl as bad:
        raise ValueError(f"redis_url: {bad}") from None
    except ValueError:
        # urllib's own words may quote the URL, and with it the password.
        raise ValueError("redis_url: this is not a URL") from None


class _BadUrl(ValueError):
    """What is wrong, in words that hold nothing of the URL but its scheme and option names."""


def _parse(url: SplitResult) -> RedisTarget:
    if url.fragment:
        raise _BadUrl("a fragment has no meaning here; a '#' in a password is written %23")
    userinfo, _, hosts = url.netloc.rpartition("@")
    username, password = _credentials(userinfo)
    target = {
        "redis": _server,
        "rediss": _server,
        "unix": _socket,
        "redis+sentinel": _sentinel,
        "redis+cluster": _cluster,
    }.get(url.scheme)
    if target is None:
        raise _BadUrl(
            "it begins with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, "
            "or is the word 'embedded'"
        )
    return target(url, hosts, username, password)


def _credentials(userinfo: str) -> tuple[str | None, str | None]:
    username, _, password = userinfo.partition(":")
    return unquote(username) or None, unquote(password) or None


def _server(
    url: SplitResult, hosts: str, username: str | None, password: str | None
) -> RedisTarget:
    nodes = _nodes(hosts, _REDIS_PORT)
    if len(nodes) != 1:
        raise _BadUrl("it names one server; several are redis+sentinel:// or redis+cluster://")
    tls = url.scheme == "rediss"
    options = _options(url, allowed=_TLS_OPTIONS | {"db"} if tls else frozenset({"db"}))
    db = _db(url.path.strip("/") or options.pop("db", "0"))
    return RedisTarget(
        "server",
        nodes,
        db=db,
        username=username,
        password=password,
        tls=tls,
        tls_options=_tls_options(options),
    )


def _socket(
    url: SplitResult, hosts: str, username: str | None, password: str | None
) -> RedisTarget:
    if hosts or not url.path.startswith("/"):
        raise _BadUrl("a socket is named by its whole path: unix:///run/redis.sock")
    db = _db(_options(url, allowed=frozenset({"db"})).get("db", "0"))
    return RedisTarget(
        "server", unix_path=unquote(url.path), db=db, username=username, password=password
    )


def _sentinel(
    url: SplitResult, hosts: str, username: str | None, password: str | None
) -> RedisTarget:
    _options(url, allowed=frozenset())
    service, _, db = url.path.strip("/").partition("/")
    if not service:
        raise _BadUrl("the path names the service that the Sentinels watch")
    return RedisTarget(
        "sentinel",
        _nodes(hosts, _SENTINEL_PORT),
        service=unquote(service),
        db=_db(db or "0"),
        username=username,
        password=password,
    )


def _cluster(
    url: SplitResult, hosts: str, username: str | None, password: str | None
) -> RedisTarget:
    _options(url, allowed=frozenset())
    if url.path.strip("/"):
        raise _BadUrl("a cluster has no database numbers: nothing follows the hosts")
    return RedisTarget("cluster", _nodes(hosts, _REDIS_PORT), username=username, password=password)


def _nodes(hosts: str, default_port: int) -> tuple[tuple[str, int], ...]:
    nodes = []
    for host in hosts.split(","):
        node = urlsplit(f"//{host}")
        try:
            port = node.port
        except ValueError:
            raise _BadUrl("a port is a number from 1 to 65535") from None
        if not node.hostname or port == 0:
            raise _BadUrl("a host is missing")
        nodes.append((node.hostname, port or default_port))
    return tuple(nodes)


def _db(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _BadUrl("the database is a number")
    return int(text)


def _options(url: SplitResult, *, allowed: frozenset[str]) -> dict[str, str]:
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    for name in options:
        if name not in allowed:
            raise _BadUrl(f"unknown option {name!r}" if name.isidentifier() else "unknown option")
    return options


def _tls_options(options: dict[str, str]) -> tuple[tuple[str, str | bool], ...]:
    parsed: list[tuple[str, str | bool]] = []
    for name, value in sorted(options.items()):
        if name == "ssl_check_hostname":
            if value not in {"true", "false"}:
                raise _BadUrl("ssl_check_hostname is true or false")
            parsed.append((name, value == "true"))
        elif name == "ssl_cert_reqs" and value not in {"none", "optional", "required"}:
            raise _BadUrl("ssl_cert_reqs is none, optional or required")
        elif name in _TLS_OPTIONS:
            parsed.append((name, value))
    return tuple(parsed)
