"""What can be listened on, and what is said when it cannot."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from gateway.listener import ListenError, open_sockets
from tests.flow.listening import Recorder, listening, on_both_loops
from tests.raw_client import exchange

GET = b"GET /w HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "listen",
    [
        pytest.param("127.0.0.1:0", id="IPv4"),
        pytest.param("[::1]:0", id="IPv6"),
        pytest.param("localhost:0", id="a name"),
    ],
)
@on_both_loops
async def test_tcp(listen: str) -> None:
    async with listening(Recorder(), listen=listen) as listener:
        for address in listener.addresses:
            [answer] = await exchange(address, GET)
            assert answer.status == 200


@pytest.mark.parametrize(
    ("listen", "says"),
    [
        pytest.param("8080", "is not 'host:port'", id="a port alone"),
        pytest.param(":8080", "is not 'host:port'", id="no host"),
        pytest.param("127.0.0.1", "is not 'host:port'", id="no port"),
        pytest.param("127.0.0.1:65536", "is not 'host:port'", id="no such port"),
        pytest.param("::1:8080", "is not 'host:port'", id="IPv6 without brackets"),
        pytest.param("http://h:80", "is not 'host:port'", id="a URL"),
        pytest.param("no-such-host.invalid:80", "the host is not known", id="unknown host"),
        pytest.param("192.0.2.1:80", "cannot be listened on", id="an address of another machine"),
        pytest.param("unix:/no/such/folder/s", "No such file or directory", id="no folder"),
        pytest.param("unix:" + "a" * 200, "too long", id="a path too long for a socket"),
    ],
)
async def test_what_cannot_be_listened_on_is_said(listen: str, says: str) -> None:
    with pytest.raises(ListenError, match=says):
        await open_sockets(listen)


async def test_a_port_in_use_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match="Address already in use"):
            await open_sockets(listen)


@on_both_loops
async def test_a_unix_socket_is_for_its_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "visitors.sock"
    async with listening(Recorder(), listen=f"unix:{path}") as listener:
        assert listener.addresses == [f"unix:{path}"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        [answer] = await exchange(listener.addresses[0], GET)
    assert answer.status == 200


async def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "visitors.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with listening(Recorder(), listen=f"unix:{path}") as listener:
        [answer] = await exchange(listener.addresses[0], GET)
    assert answer.status == 200


async def test_a_unix_socket_that_is_listened_on_stays(tmp_path: Path) -> None:
    path = tmp_path / "visitors.sock"
    async with listening(Recorder(), listen=f"unix:{path}") as listener:
        with pytest.raises(ListenError, match="another process listens there"):
            await open_sockets(f"unix:{path}")
        [answer] = await exchange(listener.addresses[0], GET)
    assert answer.status == 200


async def test_a_file_that_is_no_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError, match="no socket"):
        await open_sockets(f"unix:{path}")
    assert path.read_text() == "data"


def _environ(**changes: str) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", **changes}


@pytest.mark.parametrize(
    ("environ", "name", "wanted"),
    [
        pytest.param(_environ(), "visitors", [0, 1], id="no names: the visitors'"),
        pytest.param(
            _environ(LISTEN_FDNAMES="admin:web"), "visitors", [1], id="the one that is not admin"
        ),
        pytest.param(_environ(LISTEN_FDNAMES="web:admin"), "admin", [1], id="admin"),
    ],
)
async def test_sockets_of_systemd(
    environ: dict[str, str], name: str, wanted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        # Two neighbouring descriptors, as systemd would have them from 3 on.
        first = _free_pair()
        for offset, sock in enumerate((one, other)):
            os.dup2(sock.fileno(), first + offset)
        monkeypatch.setattr("gateway.listener.sockets.FIRST_ACTIVATED", first)
        opened = await open_sockets("systemd", name=name, environ=environ)  # type: ignore[arg-type]
        ports = [sock.getsockname()[1] for sock in opened]
        assert ports == [(one, other)[position].getsockname()[1] for position in wanted]
        for sock in opened:
            sock.close()
        for offset in {0, 1} - set(wanted):
            os.close(first + offset)


def _free_pair() -> int:
    """The first of two neighbouring file descriptors that nothing uses."""
    return next(
        fd
        for fd in range(200, 1000)
        if not any(Path(f"/proc/self/fd/{each}").exists() for each in (fd, fd + 1))
    )


@pytest.mark.parametrize(
    ("environ", "name", "says"),
    [
        pytest.param({}, "visitors", "no socket was handed over", id="not activated"),
        pytest.param(
            _environ(LISTEN_PID="1"), "visitors", "no socket was handed over", id="another process"
        ),
        pytest.param(_environ(), "admin", "none of the sockets", id="no socket named admin"),
        pytest.param(_environ(LISTEN_FDS="x"), "visitors", "no socket", id="no number"),
    ],
)
async def test_what_systemd_did_not_hand_over_is_said(
    environ: dict[str, str], name: str, says: str
) -> None:
    with pytest.raises(ListenError, match=says):
        await open_sockets("systemd", name=name, environ=environ)  # type: ignore[arg-type]
