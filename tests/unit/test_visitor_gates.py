"""The gates, with real throttles, codes and passwords: what each refuses, counts and proves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace

import pytest

from config.models import ThrottleSettings
from gateway.crypto.passwords import PasswordHasher
from gateway.crypto.signing import Keyring
from gateway.errors import Refusal
from gateway.languages import Language, language
from gateway.links.model import Link
from gateway.links.session import Proven
from gateway.links.verdict import Reason
from gateway.metrics import Metrics
from gateway.store.redis import open_redis
from gateway.store.throttle import Throttle
from gateway.visitor.codes import MAX_WRONG, Codes
from gateway.visitor.gates import Gates, one_address
from gateway.visitor.session import GateState
from tests.redis_kinds import Clock

ANN, BOB = "ann@example.org", "bob@example.org"
SUBJECT = "192.0.2.1"
NO_ADDRESS = "That is not one email address, such as name@example.com."
LIMITS = ThrottleSettings(
    window=100.0,
    failures_per_address=2,
    failures_per_link=50,
    codes_per_email=2,
    codes_per_address=3,
)


@dataclass
class Sender:
    """Keeps what it is handed."""

    works: bool = True
    sent: list[dict[str, object]] = field(default_factory=list)
    withdrawn: list[tuple[str, str]] = field(default_factory=list)

    def can_send(self) -> bool:
        return self.works

    async def withdraw(self, link: Link, browser: str) -> None:
        self.withdrawn.append((link.id, browser))

    async def send(
        self, link: Link, code: str, *, to: str, browser: str, language: Language, withheld: bool
    ) -> None:
        self.sent.append(
            {
                "link": link.id,
                "code": code,
                "to": to,
                "browser": browser,
                "language": language.code,
                "withheld": withheld,
            }
        )

    @property
    def code(self) -> str:
        """The last one."""
        return str(self.sent[-1]["code"])


@pytest.fixture(scope="module")
def passwords() -> Iterator[PasswordHasher]:
    hasher = PasswordHasher()
    yield hasher
    hasher.close()


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def gates(
    passwords: PasswordHasher, sender: Sender, metrics: Metrics, clock: Clock
) -> AsyncIterator[Gates]:
    redis = await open_redis("embedded")
    keyring = Keyring(["k" * 32])
    codes = Codes(redis, keyring.mac, keyring.macs, clock)
    yield Gates(passwords, codes, Throttle(redis, LIMITS, clock), sender, metrics)
    await redis.close()


@pytest.fixture
async def link(passwords: PasswordHasher) -> Link:
    return Link(
        id="a" * 24,
        token_hash=b"h",
        workorder="42",
        password_protected=True,
        password_hash=await passwords.hash("right"),
        require_email_verification=True,
        allowed_emails=("@example.org",),
    )


STATE = GateState("a" * 24, 1, "browser", 1_700_000_000.0)
ASKED = replace(STATE, asked=ANN)


def counted(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Tries by gate and result."""
    return {
        (sample.labels["gate"], sample.labels["result"]): sample.value
        for sample in metrics.gate_attempts_total.collect()[0].samples
        if sample.name.endswith("_total")
    }


# ---- the password


async def test_the_right_password_is_proven_and_nothing_else_changes(
    gates: Gates, link: Link, metrics: Metrics
) -> None:
    before = replace(ASKED, proven=Proven(False, BOB))
    after = await gates.try_password(link, before, SUBJECT, "right")
    assert after == replace(before, proven=Proven(True, BOB))
    assert counted(metrics) == {("password", "passed"): 1}


async def test_wrong_passwords_are_counted_until_none_may_be_tried(
    gates: Gates, link: Link, metrics: Metrics, clock: Clock
) -> None:
    reasons = []
    for password in ("wrong", "Right", "right"):
        with pytest.raises(Refusal) as refused:
            await gates.try_password(link, STATE, SUBJECT, password)
        reasons.append(refused.value.reason)
        clock.forward(10)
    assert reasons == [Reason.PASSWORD_WRONG, Reason.PASSWORD_WRONG, Reason.THROTTLED]
    assert refused.value.retry_after == 80
    assert counted(metrics) == {("password", "failed"): 2, ("password", "throttled"): 1}
    # Another visitor is not concerned.
    await gates.try_password(link, STATE, "192.0.2.2", "right")


async def test_no_password_costs_no_try(gates: Gates, link: Link, metrics: Metrics) -> None:
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            await gates.try_password(link, STATE, SUBJECT, "")
        assert (refused.value.reason, refused.value.detail) == (
            Reason.PASSWORD_REQUIRED,
            "Enter the password.",
        )
    assert counted(metrics) == {}
    await gates.try_password(link, STATE, SUBJECT, "right")


async def test_a_success_gives_its_try_back(gates: Gates, link: Link) -> None:
    for _ in range(2):
        with pytest.raises(Refusal, match="password_wrong"):
            await gates.try_password(link, STATE, SUBJECT, "wrong")
        await gates.try_password(link, STATE, SUBJECT, "right")


# ---- the mail address


async def test_a_code_is_sent_to_one_normalised_address(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics
) -> None:
    before = replace(STATE, proven=Proven(True))
    after = await gates.ask_code(link, before, SUBJECT, " ANN@Example.org ", language("de"))
    assert after == replace(before, asked=ANN)
    assert sender.sent == [
        {
            "link": link.id,
            "code": sender.code,
            "to": ANN,
            "browser": "browser",
            "language": "de",
            "withheld": False,
        }
    ]
    assert counted(metrics) == {("email", "passed"): 1}


async def test_whoever_is_not_on_the_list_is_told_the_same_and_gets_nothing(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics
) -> None:
    after = await gates.ask_code(link, STATE, SUBJECT, "eve@evil.example", language("en"))
    assert after == replace(STATE, asked="eve@evil.example")
    assert [mail["withheld"] for mail in sender.sent] == [True]
    assert counted(metrics) == {("email", "passed"): 1}
    # A code that reached nobody opens nothing, even if it is right.
    with pytest.raises(Refusal, match="code_wrong"):
        await gates.redeem(link, after, SUBJECT, sender.code)


async def test_codes_are_throttled(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics, clock: Clock
) -> None:
    for _ in range(2):
        await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
        clock.forward(10)
    with pytest.raises(Refusal) as refused:
        await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    assert (refused.value.reason, refused.value.retry_after) == (Reason.THROTTLED, 80)
    assert counted(metrics) == {("email", "passed"): 2, ("email", "throttled"): 1}
    # Another address has a window of its own; the visitor's is full after three.
    await gates.ask_code(link, STATE, SUBJECT, BOB, language("en"))
    with pytest.raises(Refusal, match="throttled"):
        await gates.ask_code(link, STATE, SUBJECT, "carl@example.org", language("en"))
    assert len(sender.sent) == 3
    # Nor is another link concerned.
    await gates.ask_code(replace(link, id="b" * 24), STATE, SUBJECT, ANN, language("en"))


async def test_without_a_mail_server_no_code_is_asked_for(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics
) -> None:
    sender.works = False
    with pytest.raises(Refusal) as refused:
        await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    assert (refused.value.reason, refused.value.detail) == (
        Reason.STORE_UNAVAILABLE,
        "This gateway has no mail server, so it cannot send codes.",
    )
    assert (sender.sent, counted(metrics)) == ([], {})
    # And nothing was taken from the throttles.
    assert (await gates.throttle.states([link.id]))[link.id].codes == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "Enter one email address.", id="nothing"),
        pytest.param(" \t", "Enter one email address.", id="blanks"),
        pytest.param("nonsense", NO_ADDRESS, id="no address"),
        pytest.param("a@b.example, c@d.example", NO_ADDRESS, id="two"),
        pytest.param("a@b.example\r\nBcc: c@d.example", NO_ADDRESS, id="CR LF"),
    ],
)
def test_what_is_not_one_address(text: str, said: str) -> None:
    with pytest.raises(Refusal) as refused:
        one_address(text)
    assert (refused.value.reason, refused.value.detail) == (Reason.EMAIL_REQUIRED, said)


def test_blanks_around_an_address_are_no_part_of_it() -> None:
    assert one_address("\tAnn@EXAMPLE.org ") == ANN


# ---- the code


async def test_the_right_code_proves_the_address_and_nothing_else(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics
) -> None:
    asked = await gates.ask_code(
        link, replace(STATE, proven=Proven(True)), SUBJECT, ANN, language("en")
    )
    after = await gates.redeem(link, asked, SUBJECT, sender.code)
    assert after == replace(STATE, proven=Proven(True, ANN), asked=None)
    assert counted(metrics) == {("email", "passed"): 1, ("code", "passed"): 1}
    without_password = replace(asked, proven=Proven())
    await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    after = await gates.redeem(link, without_password, SUBJECT, sender.code)
    assert after.proven == Proven(False, ANN)


@pytest.mark.parametrize(
    ("wrong_tries", "withdrawn"),
    [
        pytest.param(MAX_WRONG - 1, 0, id="it can still be entered"),
        pytest.param(MAX_WRONG, 1, id="it is dead"),
    ],
)
async def test_a_code_that_was_guessed_to_death_is_not_sent_any_more(
    gates: Gates, link: Link, sender: Sender, wrong_tries: int, withdrawn: int
) -> None:
    asked = await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    wrong = "000000" if sender.code != "000000" else "111111"
    for number in range(wrong_tries):
        with pytest.raises(Refusal):
            await gates.redeem(link, asked, f"192.0.2.{number}", wrong)
    assert sender.withdrawn == [(link.id, STATE.browser)] * withdrawn


async def test_wrong_codes_are_counted_until_none_may_be_tried(
    gates: Gates, link: Link, sender: Sender, metrics: Metrics, clock: Clock
) -> None:
    asked = await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    reasons = []
    for code in ("nonsense", "12345", sender.code):
        with pytest.raises(Refusal) as refused:
            await gates.redeem(link, asked, SUBJECT, code)
        reasons.append(refused.value.reason)
        clock.forward(10)
    assert reasons == [Reason.CODE_WRONG, Reason.CODE_WRONG, Reason.THROTTLED]
    assert refused.value.retry_after == 80
    assert counted(metrics) == {
        ("email", "passed"): 1,
        ("code", "failed"): 2,
        ("code", "throttled"): 1,
    }
    assert (await gates.redeem(link, asked, "192.0.2.2", sender.code)).proven.email == ANN


@pytest.mark.parametrize(
    ("state", "code", "reason", "said"),
    [
        pytest.param(STATE, "123456", Reason.EMAIL_REQUIRED, "Ask for a code first.", id="not asked"),
        pytest.param(ASKED, "", Reason.CODE_REQUIRED, "Enter the code from the mail.", id="no code"),
    ],
)  # fmt: skip
async def test_what_cannot_be_right_costs_no_try(
    gates: Gates,
    link: Link,
    metrics: Metrics,
    state: GateState,
    code: str,
    reason: Reason,
    said: str,
) -> None:
    with pytest.raises(Refusal) as refused:
        await gates.redeem(link, state, SUBJECT, code)
    assert (refused.value.reason, refused.value.detail) == (reason, said)
    assert counted(metrics) == {}
    assert (await gates.throttle.states([link.id]))[link.id].failures == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"access_version": 2}, id="the link's gates have changed"),
        pytest.param({"id": "b" * 24}, id="another link"),
        pytest.param({"allowed_emails": (BOB,)}, id="the list was narrowed"),
    ],
)
async def test_a_code_is_right_for_what_it_was_sent_for(
    gates: Gates, link: Link, sender: Sender, changes: dict[str, object]
) -> None:
    asked = await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    changed = replace(link, **changes)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="code_wrong"):
        await gates.redeem(changed, asked, SUBJECT, sender.code)


@pytest.mark.parametrize("changes", [{"browser": "another"}, {"asked": BOB}])
async def test_a_code_is_right_for_the_browser_and_the_address_that_asked(
    gates: Gates, link: Link, sender: Sender, changes: dict[str, str]
) -> None:
    asked = await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    with pytest.raises(Refusal, match="code_wrong"):
        await gates.redeem(link, replace(asked, **changes), SUBJECT, sender.code)  # type: ignore[arg-type]
    assert (await gates.redeem(link, asked, SUBJECT, sender.code)).proven.email == ANN


async def test_a_right_code_gives_its_try_back(gates: Gates, link: Link, sender: Sender) -> None:
    asked = await gates.ask_code(link, STATE, SUBJECT, ANN, language("en"))
    with pytest.raises(Refusal, match="code_wrong"):
        await gates.redeem(link, asked, SUBJECT, "x")
    await gates.redeem(link, asked, SUBJECT, sender.code)
    assert (await gates.throttle.states([link.id]))[link.id].failures == 1
    again = await gates.ask_code(link, STATE, SUBJECT, BOB, language("en"))
    for _ in range(2):
        with pytest.raises(Refusal, match="code_wrong"):
            await gates.redeem(link, again, SUBJECT, "x")
