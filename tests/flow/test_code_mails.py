"""Codes by mail, from the gate to the mail server: in the visitor's words, and in nobody's time."""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from gateway.app import running
from tests.flow.doors import gate, restricted
from tests.gateway_process import quiet_port
from tests.portal import Portal, running_portal
from tests.redis_server import RedisServer
from tests.smtp_server import SmtpServer, running_smtp_server

ANN = "ann@example.com"
EMAIL = restricted(require_email_verification=True)
SENDER = "portal@example.com"


@pytest.fixture
async def server() -> AsyncIterator[SmtpServer]:
    async with running_smtp_server() as server:
        yield server


@pytest.fixture
async def portal(tmp_path: Path, server: SmtpServer) -> AsyncIterator[Portal]:
    throttle = {"codes_per_email": 10_000, "codes_per_address": 10_000}
    async with running_portal(
        tmp_path, smtp_url=server.url, mail_from=SENDER, throttle=throttle
    ) as portal:
        yield portal


@pytest.mark.parametrize(
    ("wanted", "language", "direction"),
    [
        pytest.param("ar-EG,en;q=0.5", "ar", "rtl", id="right to left"),
        pytest.param("de", "de", "ltr", id="left to right"),
        pytest.param("tlh, fr;q=0.1", "fr", "ltr", id="the second choice"),
        pytest.param("tlh", "en", "ltr", id="one that we do not speak"),
        pytest.param("en\u00e4;;;=", "en", "ltr", id="nothing that can be read"),
    ],
)
async def test_a_code_comes_in_the_visitors_language(
    portal: Portal, server: SmtpServer, wanted: str, language: str, direction: str
) -> None:
    link = await portal.link(**EMAIL)
    visitor = portal.visitor(Accept_Language=wanted)
    await visitor.post(gate(link, "email"), {"email": ANN})
    mail = await server.next_mail()
    assert mail.message["Content-Language"] == language
    assert f'<html lang="{language}" dir="{direction}">' in mail.html
    assert (await visitor.post(gate(link, "code"), {"code": mail.code})).status == 200


async def test_a_new_code_takes_the_place_of_one_that_has_not_left(tmp_path: Path) -> None:
    """While the mail server is down visitors ask again and again; only the last code is alive."""
    async with running_portal(
        tmp_path, smtp_url=f"smtp://127.0.0.1:{quiet_port()}", mail_from=SENDER
    ) as portal:
        link = await portal.link(**EMAIL)
        visitor, other = portal.visitor(), portal.visitor()
        for each in (visitor, other, visitor, visitor):
            await each.post(gate(link, "email"), {"email": ANN})
        assert (await portal.process.stores.outbox.backlog()).mails == 2


async def test_the_gateway_writes_mails_and_the_worker_sends_them(
    tmp_path: Path, redis_server: RedisServer, server: SmtpServer
) -> None:
    async with running_portal(
        tmp_path, part="gateway", redis_url=redis_server.url, smtp_url=server.url, mail_from=SENDER
    ) as portal:
        link = await portal.link(**EMAIL)
        visitor = portal.visitor()
        await visitor.post(gate(link, "email"), {"email": ANN})
        outbox = portal.process.stores.outbox
        assert (await outbox.backlog()).mails == 1
        assert server.connections == 0
        worker = portal.settings.model_copy(update={"data_dir": tmp_path / "worker"})
        async with running(worker, "worker"):
            mail = await server.next_mail()
            await portal.delivered()
        assert (await visitor.post(gate(link, "code"), {"code": mail.code})).status == 200


async def test_no_part_of_a_waiting_code_can_be_read_in_the_database(tmp_path: Path) -> None:
    async with running_portal(
        tmp_path, smtp_url=f"smtp://127.0.0.1:{quiet_port()}", mail_from=SENDER
    ) as portal:
        link = await portal.link(**EMAIL)
        await portal.visitor().post(gate(link, "email"), {"email": ANN})
        stored = b"".join(each.read_bytes() for each in tmp_path.glob("portal.db*"))
        assert b"outbox" in stored
        assert b"ann@example.com" not in stored
        assert b"Your code" not in stored


async def test_the_time_does_not_tell_who_is_on_the_list(
    portal: Portal, server: SmtpServer
) -> None:
    """Neither the time of the answer nor that of the next one, which the sending might slow."""
    link = await portal.link(
        **restricted(require_email_verification=True, allowed_emails=["@allowed.example"])
    )
    took: dict[bool, list[float]] = {True: [], False: []}
    took_after: dict[bool, list[float]] = {True: [], False: []}
    order = [True, False] * TRIES
    random.Random(SEED).shuffle(order)
    for number, allowed in enumerate(order):
        address = f"{number}@{'allowed' if allowed else 'refused'}.example"
        began = time.perf_counter()
        answer = await portal.visitor().post(gate(link, "email"), {"email": address})
        seconds = time.perf_counter() - began
        assert answer.reason == "code_required"
        took[allowed].append(seconds)
        if number:
            took_after[order[number - 1]].append(seconds)
    await portal.delivered()
    assert len(server.mails) == TRIES
    # By chance alone, 4 is passed once in 15 000 times.
    assert abs(rank_difference(took[True], took[False])) < 4
    assert abs(rank_difference(took_after[True], took_after[False])) < 4


TRIES = 100
SEED = 20_261_124


def rank_difference(some: Sequence[float], others: Sequence[float]) -> float:
    """The Mann-Whitney U statistic in standard deviations from its mean, for no ties."""
    ranked = sorted((value, kind) for kind, group in enumerate((some, others)) for value in group)
    ranks = sum(rank for rank, (_, kind) in enumerate(ranked, start=1) if kind == 0)
    n, m = len(some), len(others)
    u = ranks - n * (n + 1) / 2
    return float((u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def test_the_rank_test_sees_a_difference_of_a_tenth() -> None:
    rng = random.Random(SEED)
    some = [rng.gauss(10, 1) for _ in range(TRIES)]
    others = [rng.gauss(11, 1) for _ in range(TRIES)]
    assert abs(rank_difference(some, others)) > 4
    assert abs(rank_difference(some[::2], some[1::2])) < 4


async def test_a_code_that_was_guessed_to_death_leaves_no_mail_behind(tmp_path: Path) -> None:
    nobody = f"smtp://127.0.0.1:{quiet_port()}"
    async with running_portal(tmp_path, smtp_url=nobody, mail_from=SENDER) as portal:
        link, visitor = await portal.link(**EMAIL), portal.visitor()
        await visitor.post(gate(link, "email"), {"email": ANN})
        waiting = []
        for guess in range(5):
            waiting.append((await portal.process.stores.outbox.backlog()).mails)
            answer = await visitor.post(gate(link, "code"), {"code": f"{guess:06}"})
            # One guess in two hundred thousand is right.
            assert answer.reason == "code_wrong"
        assert waiting == [1, 1, 1, 1, 1]
        assert (await portal.process.stores.outbox.backlog()).mails == 0
