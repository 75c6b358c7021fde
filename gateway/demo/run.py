"""`portal-gateway demo`: everything embedded, with links that show each rule."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import ClientSession

from config.models import Settings
from gateway.app import running
from gateway.demo.backend import start_backend

PASSWORD = "open-sesame"
_VISITORS_PORT, _ADMIN_PORT = 8080, 8081
# The dispatcher of the sample work orders.
_OWNER = "nadia.riva@alderquay.example"
# Seconds: nobody who tries it out waits for a minute.
_GATHER = 5
_TOUCHED = {"can_add_comments": True, "can_upload_files": True, "can_approve_reject": True}


@dataclass(frozen=True, slots=True)
class Sample:
    """A link to make, and what it shows."""

    shows: str
    body: dict[str, Any]


def samples(now: datetime, logo_url: str) -> list[Sample]:
    """One link for each rule. Times are UTC."""
    past = (now - timedelta(minutes=1)).isoformat()
    return [
        Sample("private, everything permitted; what is written here is told by mail (printed below)", {
            "workorder": "WO-1042", "permissions": _TOUCHED,
            "notification_settings": {"notification_recipients": [_OWNER]}}),
        Sample("public, to look at only", {
            "workorder": "WO-1043", "link_type": "public", "permissions": {"can_add_comments": False}}),
        Sample(f"secure, with a password: {PASSWORD}", {
            "workorder": "WO-1042", "link_type": "secure", "permissions": _TOUCHED,
            "access_restrictions": {"password": PASSWORD}}),
        Sample("with a code by mail (any address; the mail is printed below)", {
            "workorder": "WO-1043", "link_type": "secure",
            "access_restrictions": {"require_email_verification": True}}),
        Sample("good for one visitor: a button has to be pressed", {
            "workorder": "WO-1042", "access_restrictions": {"max_uses": 1}}),
        Sample("expired a moment ago", {"workorder": "WO-1042", "expiry_date": past}),
        Sample("for another network (192.0.2.0/24)", {
            "workorder": "WO-1042", "access_restrictions": {"allowed_ips": ["192.0.2.0/24"]}}),
        Sample("switched off", {"workorder": "WO-1042", "is_active": False}),
        Sample("with a brand of its own", {
            "workorder": "WO-1047", "access_restrictions": {"password": PASSWORD},
            "custom_branding": {
                "brand_color": "#0B6E4F", "logo_url": logo_url,
                "footer_text": "Alder & Quay Facility Services"}}),
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """Serve the demo. Yields the visitors' origin, the admin origin, the key, and the links."""
    files = folder / "backend"
    files.mkdir()
    runner, backend_url = await start_backend(files)
    try:
        key = secrets.token_urlsafe(24)
        visitors, admin = _free(_VISITORS_PORT), _free(_ADMIN_PORT)
        settings = Settings.model_validate(
            {
                "public_url": f"http://127.0.0.1:{visitors}",
                "listen": f"127.0.0.1:{visitors}",
                "admin_listen": f"127.0.0.1:{admin}",
                "upstream": {"url": backend_url},
                "database_url": f"sqlite:///{folder / 'portal.db'}",
                "data_dir": folder / "data",
                "admin_key": key,
                "notifications": {"gather": _GATHER},
                # The logo's server is the sample system, on this machine.
                "logos": {"allow_private_addresses": True},
            }
        )
        async with running(settings, printer=_print_mail) as process:
            links = await _make_links(process.admin_url, key, f"{backend_url}/static/logo.png")
            yield settings.public_url, process.admin_url, key, links
    finally:
        await runner.cleanup()


async def _make_links(admin_url: str, key: str, logo_url: str) -> list[tuple[str, str]]:
    """Make the links as an owner would: through the admin API."""
    made = []
    headers = {"Authorization": f"Bearer {key}"}
    async with ClientSession(headers=headers, raise_for_status=True) as client:
        for sample in samples(datetime.now(UTC), logo_url):
            async with client.post(
                f"{admin_url}/v1/workorder-portal-link", json=sample.body
            ) as answer:
                link = (await answer.json())["data"]
            made.append((sample.shows, link["full_url"]))
    return made


def _free(wanted: int) -> int:
    """`wanted`, or any free port of the loopback interface if that one is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def _print_mail(text: str) -> None:
    rule = "-" * 72
    print(f"\n{rule}\n{text.strip()}\n{rule}\n", flush=True)


async def _serve(folder: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with demo(folder) as (_, admin_url, key, links):
        lines = ["", "Portal Gateway is running, in front of a sample work-order system.", ""]
        for shows, url in links:
            lines += [f"  {shows}", f"    {url}", ""]
        lines += [
            f"  admin API   {admin_url}/docs",
            f"  admin key   {key}",
            "",
            "Ctrl-C ends it and deletes all of it.",
        ]
        print("\n".join(lines), flush=True)
        await ended.wait()
    sys.stdout.write("\n")


def main() -> None:
    """Run the demo until Ctrl-C, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="portal-gateway-demo-") as folder:
        uvloop.run(_serve(Path(folder)))
