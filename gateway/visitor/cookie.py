"""How a cookie is written: the attributes of all that the gateway sets."""

from __future__ import annotations

HOST_PREFIX = "__Host-"


def set_cookie(
    name: str,
    value: str,
    *,
    max_age: int | None,
    secure: bool,
    framed: bool,
    http_only: bool = True,
    path: str = "/",
) -> str:
    """A `Set-Cookie` value. `framed` is for a public link, whose pages may stand in a frame.

    `max_age` is seconds; None: until the browser is closed.
    """
    cookie = f"{name}={value}; Path={path}"
    if max_age is not None:
        cookie += f"; Max-Age={max_age}"
    if http_only:
        cookie += "; HttpOnly"
    if not secure:
        return f"{cookie}; SameSite=Lax"
    # A frame of another site gets a cookie only with all three (and then one jar per site).
    return (
        f"{cookie}; Secure; SameSite=None; Partitioned"
        if framed
        else f"{cookie}; Secure; SameSite=Lax"
    )


def drop_cookie(name: str, *, secure: bool, path: str = "/") -> list[str]:
    """A partitioned cookie and a plain one are two cookies: over https, drop either."""
    drops = [set_cookie(name, "", max_age=0, secure=secure, framed=False, path=path)]
    if secure:
        drops.append(set_cookie(name, "", max_age=0, secure=True, framed=True, path=path))
    return drops
