"""Settings, good and bad: what is accepted, and the name of what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from config import values
from config.models import (
    LanguageCode,
    LifetimeSettings,
    Part,
    RouteSettings,
    Settings,
    UpstreamSettings,
    part_problem,
)
from gateway.languages import CODES
from gateway.links.model import LinkType, Permission
from gateway.links.session import Lifetime

URL = "http://backend:8000"
KEY = "k" * 32
HOOK = {"url": "https://receiver.example/hook", "secret": "whsec_" + "a" * 32}
ROW = {"methods": ["GET"], "path": "/w/{workorder}", "permission": "none", "action": "view"}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({"upstream": {"url": URL}, **changes})


def faults(**changes: Any) -> dict[str, str]:
    """What is wrong with these settings: the message by the dotted name."""
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    return {
        ".".join(str(part) for part in error["loc"] if part != "[key]"): error["msg"]
        for error in caught.value.errors()
    }


def test_defaults_are_those_of_the_interface() -> None:
    found = settings()
    assert found.public_url == "http://127.0.0.1:8080"
    assert (found.listen, found.admin_listen) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert (found.database_url, found.redis_url) == ("sqlite:///portal.db", "embedded")
    assert found.data_dir == Path("data")
    assert (found.secret_keys, found.admin_key, found.smtp_url) == ((), None, None)
    assert (found.workers, found.log_format, found.log_level) == (1, "auto", "info")
    assert found.limits.model_dump() == {
        "header_timeout": 10,
        "body_timeout": 30,
        "upstream_connect_timeout": 5,
        "upstream_read_timeout": 60,
        "max_body": 0,
        "max_inspected_body": 1048576,
        "max_header_size": 16384,
        "max_connections": 10000,
    }
    assert found.upstream.path == "/workorders/{workorder}"
    assert (found.upstream.cookies, found.upstream.preserve_host) == ("seal", False)
    assert len(found.upstream.route_table()) == 9


@pytest.mark.parametrize(
    ("link_type", "lifetime"),
    [
        pytest.param(LinkType.PUBLIC, Lifetime(86400, 86400), id="public"),
        pytest.param(LinkType.PRIVATE, Lifetime(43200, 7200), id="private"),
        pytest.param(LinkType.SECURE, Lifetime(3600, 900), id="secure"),
    ],
)
def test_default_lifetimes(link_type: LinkType, lifetime: Lifetime) -> None:
    assert settings().session.lifetime(link_type) == lifetime


def test_half_a_lifetime_keeps_the_other_half_of_its_type() -> None:
    found = settings(session={"secure": {"idle": 60}})
    assert found.session.secure == LifetimeSettings(life=3600, idle=60)
    assert found.session.private == LifetimeSettings(life=43200, idle=7200)


@pytest.mark.parametrize(
    ("url", "origin", "host"),
    [
        pytest.param(
            "https://Portal.Example", "https://portal.example", "portal.example", id="case"
        ),
        pytest.param("https://a:443", "https://a", "a", id="default port"),
        pytest.param("http://a:443", "http://a:443", "a:443", id="another port"),
        pytest.param("http://[::1]:8080/", "http://[::1]:8080", "[::1]:8080", id="v6, slash"),
    ],
)
def test_public_url_is_an_origin_as_browsers_write_it(url: str, origin: str, host: str) -> None:
    found = settings(public_url=url)
    assert found.public_url == origin
    assert found.public_host == host
    assert found.scheme == origin.partition(":")[0]


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://a/portal", id="path"),
        pytest.param("https://a?x=1", id="query"),
        pytest.param("https://a/#x", id="fragment"),
        pytest.param("https://user:pass@a", id="user"),
        pytest.param("ftp://a", id="scheme"),
        pytest.param("a.example", id="no scheme"),
        pytest.param("https://", id="no host"),
        pytest.param("https://a b", id="space"),
        pytest.param("https://a\n", id="line end"),
        pytest.param("https://a:0", id="port 0"),
        pytest.param("https://a:99999", id="port too large"),
        pytest.param("https://[::1", id="bracket"),
    ],
)
def test_public_url_that_is_no_origin(url: str) -> None:
    assert set(faults(public_url=url)) == {"public_url"}


@pytest.mark.parametrize(
    ("url", "kept", "socket"),
    [
        pytest.param("http://a:80/", "http://a", None, id="http"),
        pytest.param("https://a:8443", "https://a:8443", None, id="https"),
        pytest.param(
            "http+unix://%2Frun%2Fa.sock", "http+unix://%2Frun%2Fa.sock", "/run/a.sock", id="unix"
        ),
    ],
)
def test_upstream_url(url: str, kept: str, socket: str | None) -> None:
    upstream = UpstreamSettings(url=url)
    assert upstream.url == kept
    assert upstream.socket_path == socket


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        pytest.param("0.0.0.0:80", values.Listen("tcp", "0.0.0.0", 80), id="v4"),
        pytest.param("localhost:0", values.Listen("tcp", "localhost", 0), id="any port"),
        pytest.param("[::]:8080", values.Listen("tcp", "::", 8080), id="v6"),
        pytest.param("unix:/run/p.sock", values.Listen("unix", path="/run/p.sock"), id="unix"),
        pytest.param("systemd", values.Listen("systemd"), id="systemd"),
    ],
)
def test_listen(text: str, listen: values.Listen) -> None:
    assert values.parse_listen(text) == listen
    assert settings(listen=text).listen == text


GOOD = {
    "redis": {"redis_url": "redis://:pw@r:6379/1"},
    "redis over TLS": {"redis_url": "rediss://r"},
    "redis by socket": {"redis_url": "unix:///run/redis.sock"},
    "sentinel": {"redis_url": "redis+sentinel://h1:26379,h2:26379/main"},
    "cluster": {"redis_url": "redis+cluster://h1:7000,h2:7000"},
    "postgres, several hosts": {
        "database_url": "postgresql://u:p@h1:5432,h2:5432/name",
        "secret_keys": [KEY],
    },
    "sqlite, absolute": {"database_url": "sqlite:////var/lib/portal.db"},
    "trusted": {"trusted_proxies": ["10.0.0.0/8", "::1", "unix"]},
    "webhook": {
        "notification_webhooks": {"*": HOOK, "Acme GmbH": {**HOOK, "url": "http://h:1/?k=v"}}
    },
    "webhook secret of 64 bytes, without padding": {
        "notification_webhooks": {"a": {**HOOK, "secret": "whsec_" + "a" * 86}}
    },
    "webhooks, and nothing gathers": {"notifications": {"gather": 0}},
    "mail": {"smtp_url": "smtp://u:p@h:587", "mail_from": "portal@corp.internal"},
    "landing in a query": {"upstream": {"url": URL, "path": "/Display.html?id={workorder}"}},
    "header": {"upstream": {"url": URL, "headers": {"Authorization": "Bearer {x1} {email}"}}},
    "log level": {"log_level": "DEBUG"},
    "both any port": {"listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0"},
}


@pytest.mark.parametrize("changes", [pytest.param(v, id=k) for k, v in GOOD.items()])
def test_good(changes: dict[str, Any]) -> None:
    found = settings(**changes).model_dump()
    assert set(changes) <= set(found)


def upstream(**changes: Any) -> dict[str, Any]:
    return {"upstream": {"url": URL, **changes}}


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown": ({"listne": "x"}, "listne", "Extra"),
    "listen without port": ({"listen": "127.0.0.1"}, "listen", "host:port"),
    "listen on no host": ({"listen": ":80"}, "listen", "host:port"),
    "listen, v6 bare": ({"listen": "::1:80"}, "listen", "host:port"),
    "listen, port": ({"listen": "a:65536"}, "listen", "65535"),
    "listen, relative socket": ({"listen": "unix:p.sock"}, "listen", "absolute"),
    "one listener for both": ({"admin_listen": "127.0.0.1:8080"}, "admin_listen", "each"),
    "upstream missing": ({"upstream": {}}, "upstream.url", "Field required"),
    "upstream with a path": (upstream(url="http://a/b"), "upstream.url", "path"),
    "upstream scheme": (upstream(url="tcp://a"), "upstream.url", "http+unix"),
    "upstream socket": (upstream(url="http+unix:///run/a"), "upstream.url", "%2F"),
    "path without work order": (upstream(path="/w"), "upstream.path", "{workorder}"),
    "path relative": (upstream(path="w/{workorder}"), "upstream.path", "absolute"),
    "path with dots": (upstream(path="/a/../{workorder}"), "upstream.path", "dot segment"),
    "path with another name": (upstream(path="/{id}/{workorder}"), "upstream.path", "only"),
    "path with a space": (upstream(path="/a b/{workorder}"), "upstream.path", "only"),
    "login": (upstream(login={"page": "/login"}), "upstream.login", "not supported"),
    "cookies": (upstream(cookies="keep"), "upstream.cookies", "'seal'"),
    "readable cookie that is not sealed": (
        upstream(cookies="pass", readable_cookies=["csrftoken"]),
        "upstream.readable_cookies",
        "cookies is not 'seal'",
    ),
    "readable cookie": (
        upstream(readable_cookies=["a b"]),
        "upstream.readable_cookies.0",
        "cookie",
    ),
    "key without certificate": (
        upstream(client_key_file="k.pem"),
        "upstream.client_key_file",
        "client_cert_file",
    ),
    "route": (upstream(routes=[{**ROW, "path": "w"}]), "upstream.routes.0", "'w'"),
    "route, a body's value": (
        upstream(routes=[{**ROW, "methods": ["POST"], "form": {"id": 1.5}}]),
        "upstream.routes.0.form.id",
        "whole number",
    ),
    "route, a body's pointer": (
        upstream(routes=[{**ROW, "methods": ["POST"], "json": {"id": "x"}}]),
        "upstream.routes.0",
        "no JSON pointer",
    ),
    "route, action": (upstream(routes=[{**ROW, "action": "x"}]), "upstream.routes.0", "action 'x'"),
    "route, permission": (
        upstream(routes=[{**ROW, "permission": "can_fly"}]),
        "upstream.routes.0.permission",
        "one of none, can_view_details",
    ),
    "route, query and POST": (
        upstream(routes=[{**ROW, "methods": ["POST"], "path": "/a?id={workorder}"}]),
        "upstream.routes.0",
        "is for GET",
    ),
    "another upstream": ({"upstreams": {"acme": {"url": "x"}}}, "upstreams.acme.url", "origin"),
    "database": ({"database_url": "mysql://u:p@h/n"}, "database_url", "postgresql"),
    "sqlite without a file": ({"database_url": "sqlite://"}, "database_url", "sqlite:///path"),
    "redis": ({"redis_url": "http://h"}, "redis_url", "embedded"),
    "short key": ({"secret_keys": [KEY, "short"]}, "secret_keys", "32"),
    "keys required": ({"database_url": "postgresql://h/n"}, "secret_keys", "required unless"),
    "empty admin key": ({"admin_key": ""}, "admin_key", "visible ASCII"),
    "admin key with a space": ({"admin_key": "a b"}, "admin_key", "visible ASCII"),
    "proxy": ({"trusted_proxies": ["10.0.0.1/8"]}, "trusted_proxies", "10.0.0.1/8"),
    "mail scheme": ({"smtp_url": "http://h", "mail_from": "a@b.c"}, "smtp_url", "smtps://"),
    "mail port": ({"smtp_url": "smtp://h:x", "mail_from": "a@b.c"}, "smtp_url", "port"),
    "mail sender missing": ({"smtp_url": "smtp://h"}, "mail_from", "smtp_url needs it"),
    "mail sender": ({"mail_from": "nobody"}, "mail_from", "address"),
    "mail sender, quoted": ({"mail_from": '"a b"@c.d'}, "mail_from", "address"),
    "mail sender, not ASCII": ({"mail_from": "ä@c.d"}, "mail_from", "address"),
    "webhook with a user": (
        {"notification_webhooks": {"a": {**HOOK, "url": "https://u:p@h/"}}},
        "notification_webhooks.a.url",
        "a user or a password",
    ),
    "webhook with a fragment": (
        {"notification_webhooks": {"a": {**HOOK, "url": "https://h/#x"}}},
        "notification_webhooks.a.url",
        "fragment",
    ),
    "webhook port": (
        {"notification_webhooks": {"a": {**HOOK, "url": "https://h:0/"}}},
        "notification_webhooks.a.url",
        "port",
    ),
    "webhook without a host": (
        {"notification_webhooks": {"a": {**HOOK, "url": "https:///hook"}}},
        "notification_webhooks.a.url",
        "a host",
    ),
    "webhook secret without its prefix": (
        {"notification_webhooks": {"a": {**HOOK, "secret": "a" * 32}}},
        "notification_webhooks.a.secret",
        "whsec_",
    ),
    "webhook secret that is no base64": (
        {"notification_webhooks": {"a": {**HOOK, "secret": "whsec_" + "-" * 32}}},
        "notification_webhooks.a.secret",
        "base64",
    ),
    "webhook secret too short": (
        {"notification_webhooks": {"a": {**HOOK, "secret": "whsec_" + "a" * 31}}},
        "notification_webhooks.a.secret",
        "24 to 64 bytes",
    ),
    "webhook secret too long": (
        {"notification_webhooks": {"a": {**HOOK, "secret": "whsec_" + "a" * 87}}},
        "notification_webhooks.a.secret",
        "24 to 64 bytes",
    ),
    "webhook secret, one of two": (
        {"notification_webhooks": {"a": {**HOOK, "secret": HOOK["secret"] + ","}}},
        "notification_webhooks.a.secret",
        "whsec_",
    ),
    "a language that is not spoken": (
        {"notifications": {"language": "tlh"}},
        "notifications.language",
        "'en'",
    ),
    "gathering backwards": ({"notifications": {"gather": -1}}, "notifications.gather", "0"),
    "mail sender, two": ({"mail_from": "a@b.c, d@e.f"}, "mail_from", "address"),
    "workers, embedded": ({"workers": 2}, "workers", "real Redis"),
    "workers": ({"workers": 2, "redis_url": "redis://h"}, "workers", "with one process"),
    "no workers": ({"workers": 0}, "workers", "greater than 0"),
    "duration": ({"limits": {"header_timeout": 0}}, "limits.header_timeout", "greater than 0"),
    "endless": ({"limits": {"body_timeout": "inf"}}, "limits.body_timeout", "finite"),
    "lifetime": ({"session": {"public": {"idle": -1}}}, "session.public.idle", "greater than 0"),
    "drain": ({"drain": {"delay": -1}}, "drain.delay", "greater than or equal to 0"),
    "log level": ({"log_level": "loud"}, "log_level", "'debug'"),
}


@pytest.mark.parametrize(
    ("changes", "name", "message"), [pytest.param(*case, id=name) for name, case in BAD.items()]
)
def test_bad(changes: dict[str, Any], name: str, message: str) -> None:
    found = faults(**changes)
    assert set(found) == {name}
    assert message in found[name]


@pytest.mark.parametrize(
    "name",
    [
        "X-Portal-Email",
        "x_portal_email",
        "X.Portal.Anything",
        "Host",
        "X-Forwarded-For",
        "Forwarded",
        "Connection",
        "Content-Length",
        "Transfer-Encoding",
        "Upgrade",
        "TE",
        "X-Request-Id",
        "Sec-WebSocket-Key",
        "Proxy-Authorization",
        "a b",
        "a:b",
        "",
    ],
)
def test_header_that_is_not_the_operators(name: str) -> None:
    assert set(faults(**upstream(headers={name: "v"}))) == {f"upstream.headers.{name}"}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a\r\nX-Portal-Email: b", id="CR LF"),
        pytest.param("a\nb", id="LF"),
        pytest.param("a\x00", id="NUL"),
        pytest.param("{token}", id="placeholder"),
    ],
)
def test_header_value(value: str) -> None:
    found = faults(**upstream(headers={"X-Key": value}))
    assert found["upstream.headers"].startswith("Value error, X-Key: ")


def test_all_faults_come_at_once() -> None:
    found = faults(
        listen="x", public_url="y", workers=0, smtp_url="smtp://h", log_level="z", oops=1,
        database_url="postgresql://h/n", limits={"max_body": -1, "typo": 1},
    )  # fmt: skip
    assert set(found) == {
        "listen", "public_url", "workers", "mail_from", "log_level", "oops", "secret_keys",
        "limits.max_body", "limits.typo",
    }  # fmt: skip


def test_the_languages_of_the_settings_are_those_that_there_are() -> None:
    assert set(get_args(LanguageCode)) == set(CODES)


def test_other_backends_inherit_what_describes_the_system_and_no_credential() -> None:
    main = {
        "url": URL,
        "path": "/w/{workorder}",
        "routes": [ROW],
        "preserve_host": True,
        "headers": {"Authorization": "secret"},
        "cookies": "pass",
        "ca_file": "ca.pem",
        "client_cert_file": "c.pem",
        "client_key_file": "k.pem",
    }
    found = settings(
        upstream=main,
        upstreams={"acme": {"url": "https://acme"}, "b": {"url": URL, "path": "/x?w={workorder}"}},
    ).upstreams
    assert found["acme"].path == "/w/{workorder}"
    assert found["acme"].routes == (RouteSettings.model_validate(ROW),)
    assert found["acme"].preserve_host is True
    assert found["acme"].model_dump(
        exclude={"path", "routes", "preserve_host"}
    ) == UpstreamSettings(url="https://acme").model_dump(
        exclude={"path", "routes", "preserve_host"}
    )
    assert found["b"].path == "/x?w={workorder}"


def test_a_link_goes_to_the_backend_of_its_first_namespace_that_has_one() -> None:
    found = settings(upstreams={"acme": {"url": "https://acme"}, "b": {"url": "https://b"}})
    assert found.upstream_for(("x", "b", "acme")).url == "https://b"
    assert found.upstream_for(("x",)) is found.upstream
    assert list(found.all_upstreams()) == ["upstream", "upstreams.acme", "upstreams.b"]


@pytest.mark.parametrize("part", get_args(Part))
def test_embedded_redis_serves_everything_or_nothing(part: Part) -> None:
    assert bool(part_problem(settings(), part)) is (part != "all")
    assert part_problem(settings(redis_url="redis://h"), part) == []


def test_nothing_secret_in_what_is_shown_of_settings() -> None:
    found = settings(
        database_url="postgresql://u:hunter2@h/n",
        redis_url="redis://:hunter2@h",
        smtp_url="smtp://u:hunter2@h",
        mail_from="a@b.c",
        secret_keys=["hunter2" * 8],
        admin_key="hunter2",
        **upstream(headers={"Authorization": "hunter2"}),
    )
    assert "hunter2" not in repr(found)
    assert "hunter2" not in str(found)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        settings().limits.max_body = 1  # type: ignore[misc]


def test_every_permission_can_be_named_in_a_route() -> None:
    for permission in Permission:
        row = RouteSettings.model_validate({**ROW, "permission": permission.value})
        assert row.route().permission is permission
    assert RouteSettings.model_validate(ROW).route().permission is None


def test_what_a_row_wants_of_a_body_is_written_as_in_json() -> None:
    row = {**ROW, "methods": ["POST"], "form": {"a": 5}, "json": {"/b": [True, "x", 7]}}
    body = RouteSettings.model_validate(row).route().body
    assert body is not None
    assert [str(wanted) for _, wanted in (*body.form, *body.json)] == ["5", "7 or true or x"]
