"""What happens at a gate: one function for each, all with the same shape.

A try is taken from the throttles before the secret is looked at, so that many tries at once are
no more than many tries in turn. Each function returns what is proven afterwards, or raises
Refusal with the reason that the visitor is told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from gateway.crypto.passwords import PasswordHasher
from gateway.errors import Refusal
from gateway.languages import N_, Language
from gateway.links.model import Link
from gateway.links.session import Proven, email_allowed
from gateway.links.verdict import Gate, Reason
from gateway.metrics import Metrics
from gateway.request.mail_address import normal_address
from gateway.store.throttle import Throttle
from gateway.visitor.codes import Codes
from gateway.visitor.session import GateState

_NO_ADDRESS = N_("That is not one email address, such as name@example.com.")


class CodeSender(Protocol):
    """Whatever brings a code to an address."""

    def can_send(self) -> bool:
        """Whether there is a way to send at all."""
        ...

    async def send(
        self, link: Link, code: str, *, to: str, browser: str, language: Language, withheld: bool
    ) -> None:
        """Write the mail down, so that it is not lost, without waiting until it is sent.

        A `withheld` one takes the same work and the same time, and is never sent.
        """
        ...

    async def withdraw(self, link: Link, browser: str) -> None:
        """Do not send the code of this browser any more, if it has not left yet."""
        ...


@dataclass(frozen=True, slots=True)
class Gates:
    """The gates and all that they ask."""

    passwords: PasswordHasher
    codes: Codes
    throttle: Throttle
    sender: CodeSender
    metrics: Metrics

    async def try_password(
        self, link: Link, state: GateState, subject: str, password: str
    ) -> GateState:
        """The password gate. Raises Refusal: password_required, password_wrong or throttled."""
        if not password:
            raise Refusal(Reason.PASSWORD_REQUIRED, N_("Enter the password."))
        await self._take_try(Gate.PASSWORD, link, subject)
        if not await self.passwords.verify(password, link.password_hash):
            self._count(Gate.PASSWORD, "failed")
            raise Refusal(Reason.PASSWORD_WRONG)
        await self.throttle.give_back(Gate.PASSWORD.value, link.id, subject)
        self._count(Gate.PASSWORD, "passed")
        return replace(state, proven=replace(state.proven, password=True))

    async def ask_code(
        self, link: Link, state: GateState, subject: str, address: str, language: Language
    ) -> GateState:
        """The email gate: send a code to an address, if the link allows that address.

        Everything but the sending is done for an address that is not allowed, too, and sending
        is not waited for: the answer and its time are the same. The mail is in `language`.
        Raises Refusal (email_required, throttled, store_unavailable) or StoreUnavailable.
        """
        email = one_address(address)
        if not self.sender.can_send():
            raise Refusal(
                Reason.STORE_UNAVAILABLE,
                N_("This gateway has no mail server, so it cannot send codes."),
            )
        taken = await self.throttle.take_code(link.id, email, subject)
        if not taken.allowed:
            self._count(Gate.EMAIL, "throttled")
            raise Refusal(Reason.THROTTLED, retry_after=taken.retry_after)
        code = await self.codes.issue(link.id, link.access_version, state.browser, email)
        await self.sender.send(
            link,
            code,
            to=email,
            browser=state.browser,
            language=language,
            withheld=not email_allowed(email, link.allowed_emails),
        )
        self._count(Gate.EMAIL, "passed")
        return replace(state, asked=email)

    async def redeem(self, link: Link, state: GateState, subject: str, code: str) -> GateState:
        """The code gate. Raises Refusal: email_required, code_required, code_wrong, throttled."""
        if state.asked is None:
            raise Refusal(Reason.EMAIL_REQUIRED, N_("Ask for a code first."))
        if not code:
            raise Refusal(Reason.CODE_REQUIRED, N_("Enter the code from the mail."))
        await self._take_try(Gate.CODE, link, subject)
        right = await self.codes.redeem(
            link.id, link.access_version, state.browser, state.asked, code
        )
        # The list may have been narrowed after the mail was sent.
        if not right or not email_allowed(state.asked, link.allowed_emails):
            self._count(Gate.CODE, "failed")
            if not await self.codes.is_alive(link.id, state.browser):
                await self.sender.withdraw(link, state.browser)
            raise Refusal(Reason.CODE_WRONG)
        await self.throttle.give_back(Gate.CODE.value, link.id, subject)
        self._count(Gate.CODE, "passed")
        return replace(state, proven=Proven(state.proven.password, state.asked), asked=None)

    async def _take_try(self, gate: Gate, link: Link, subject: str) -> None:
        taken = await self.throttle.take_failure(gate.value, link.id, subject)
        if not taken.allowed:
            self._count(gate, "throttled")
            raise Refusal(Reason.THROTTLED, retry_after=taken.retry_after)

    def _count(self, gate: Gate, result: str) -> None:
        self.metrics.gate_attempts_total.labels(gate.value, result).inc()


def one_address(text: str) -> str:
    """What the visitor entered, as one normalised address. Raises Refusal (`email_required`)."""
    if not text.strip():
        raise Refusal(Reason.EMAIL_REQUIRED, N_("Enter one email address."))
    try:
        return normal_address(text.strip())
    except ValueError:
        raise Refusal(Reason.EMAIL_REQUIRED, _NO_ADDRESS) from None
