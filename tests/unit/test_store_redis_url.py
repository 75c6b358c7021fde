"""What a `redis_url` names, and how it says that it names nothing."""

from __future__ import annotations

import pytest

from gateway.store.redis_url import RedisTarget, parse_redis_url


@pytest.mark.parametrize(
    ("url", "target"),
    [
        pytest.param("embedded", RedisTarget("embedded"), id="embedded"),
        pytest.param("redis://h", RedisTarget("server", (("h", 6379),)), id="a host"),
        pytest.param(
            "redis://h:1234/5", RedisTarget("server", (("h", 1234),), db=5), id="port, db"
        ),
        pytest.param("redis://h?db=5", RedisTarget("server", (("h", 6379),), db=5), id="db option"),
        pytest.param("redis://[::1]:7", RedisTarget("server", (("::1", 7),)), id="IPv6"),
        pytest.param(
            "redis://user:p%40ss@h",
            RedisTarget("server", (("h", 6379),), username="user", password="p@ss"),
            id="user and password",
        ),
        pytest.param(
            "redis://:secret@h",
            RedisTarget("server", (("h", 6379),), password="secret"),
            id="password",
        ),
        pytest.param(
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
            RedisTarget(
                "server",
                (("h", 6379),),
                tls=True,
                tls_options=(("ssl_ca_certs", "/ca.pem"), ("ssl_check_hostname", False)),
            ),
            id="TLS",
        ),
        pytest.param(
            "unix:///run/redis.sock?db=2",
            RedisTarget("server", unix_path="/run/redis.sock", db=2),
            id="a socket",
        ),
        pytest.param(
            "unix://:secret@/run/redis.sock",
            RedisTarget("server", unix_path="/run/redis.sock", password="secret"),
            id="a socket with a password",
        ),
        pytest.param(
            "redis+sentinel://h1,h2:1234/main",
            RedisTarget("sentinel", (("h1", 26379), ("h2", 1234)), service="main"),
            id="Sentinels",
        ),
        pytest.param(
            "redis+sentinel://user:pw@h1/main/3",
            RedisTarget(
                "sentinel",
                (("h1", 26379),),
                service="main",
                db=3,
                username="user",
                password="pw",
            ),
            id="Sentinels, with a login and a database",
        ),
        pytest.param(
            "redis+cluster://:pw@h1,h2:7,[::1]:8",
            RedisTarget("cluster", (("h1", 6379), ("h2", 7), ("::1", 8)), password="pw"),
            id="a cluster",
        ),
    ],
)
def test_a_url_names_a_target(url: str, target: RedisTarget) -> None:
    assert parse_redis_url(url) == target


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("", id="nothing"),
        pytest.param("localhost:6379", id="no scheme"),
        pytest.param("http://:hunter2@h", id="another scheme"),
        pytest.param("redis://", id="no host"),
        pytest.param("redis://:hunter2@h:0", id="port 0"),
        pytest.param("redis://:hunter2@h:99999", id="port beyond 65535"),
        pytest.param("redis://:hunter2@h:hunter2", id="a port that is no number"),
        pytest.param("redis://:hunter2@[::1", id="half an IPv6 address"),
        pytest.param("redis://:hunter2#x@h", id="a raw # in the password"),
        pytest.param("redis://:hunter2@h1,h2", id="two servers without Sentinel"),
        pytest.param("redis://:hunter2@h/one", id="a database that is no number"),
        pytest.param("redis://:hunter2@h?socket_timeout=100", id="an option of the library's"),
        pytest.param("redis://h?ssl_ca_certs=/ca.pem", id="TLS options without TLS"),
        pytest.param("rediss://h?ssl_cert_reqs=perhaps", id="an unknown requirement"),
        pytest.param("rediss://h?ssl_check_hostname=perhaps", id="neither true nor false"),
        pytest.param("unix://run/redis.sock", id="a relative socket"),
        pytest.param("redis+sentinel://:hunter2@h1,h2", id="Sentinels of no service"),
        pytest.param("redis+sentinel://:hunter2@h1,,h2/main", id="an empty host"),
        pytest.param("redis+cluster://:hunter2@h1/3", id="a cluster with a database"),
    ],
)
def test_a_bad_url_names_the_setting_and_never_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^redis_url: ") as caught:
        parse_redis_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_target_is_printed_without_its_password() -> None:
    assert "hunter2" not in repr(parse_redis_url("redis://:hunter2@h"))
