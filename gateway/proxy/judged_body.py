"""A body that is judged on its way: what has come before it is sent, the rest as it is sent on."""

from __future__ import annotations

from aiohttp import web

from gateway.bodies.fitting import ambiguous, not_fitting
from gateway.bodies.judges import BodyJudge, judge_for
from gateway.errors import Refusal
from gateway.links.body_rules import BodyRules
from gateway.links.verdict import Reason
from gateway.proxy.body import VisitorBody
from gateway.proxy.headers import connection_names, plain

_TYPE, _ENCODING = "contenttype", "contentencoding"


class JudgedBody:
    """A `RequestBody` whose beginning fits the row, and is sent byte for byte as it came."""

    def __init__(self, body: VisitorBody, judge: BodyJudge, begun: bytes) -> None:
        self._body = body
        self._judge = judge
        self._begun = begun
        self.length = body.length

    @property
    def is_whole(self) -> bool:
        """Whether the visitor's last byte has been read."""
        return self._body.is_whole

    async def read(self) -> bytes:
        """As `VisitorBody.read`. The last bytes are held back until the whole of it is judged.

        Raises Refusal also for what comes later and spoils it: the backend then never gets a
        whole request.
        """
        if self._begun:
            begun, self._begun = self._begun, b""
            return begun
        if self._body.is_whole:
            return b""
        chunk = await self._body.read()
        self._judge.feed(chunk)
        if self.is_whole:
            self._judge.finish()
        return chunk


async def judged_body(
    request: web.BaseRequest, body: VisitorBody | None, rules: BodyRules, workorder: str, limit: int
) -> JudgedBody | None:
    """Read a body as far as it has to be judged, and judge it; None: there is none, and it may be so.

    `limit` is in bytes, of what is kept meanwhile. Raises Refusal (`no_route`, `not_permitted`,
    `bad_request`, `body_too_large`) and VisitorGone.
    """
    if body is None or body.length == 0:
        if rules.wants_body:
            raise not_fitting()
        return None
    judge = _judge(request, rules, workorder)
    begun = bytearray()
    while not judge.is_decided and (chunk := await body.read()):
        within = limit - len(begun)
        begun += chunk
        judge.feed(chunk[:within])
        if len(begun) > limit and not judge.is_decided:
            raise Refusal(Reason.BODY_TOO_LARGE, "The request's body is too large to be judged.")
        judge.feed(chunk[within:])
    if body.is_whole:
        judge.finish()
    return JudgedBody(body, judge, bytes(begun))


def _judge(request: web.BaseRequest, rules: BodyRules, workorder: str) -> BodyJudge:
    """The judge for what the headers say, under every spelling that some backend would believe."""
    said: dict[str, list[str]] = {_TYPE: [], _ENCODING: []}
    for name, value in request.raw_headers:
        if (known := plain(name)) in said:
            said[known].append(value.decode("latin-1"))
    if connection_names(request.raw_headers) & said.keys():
        # The backend would not learn what the body was judged as.
        raise ambiguous()
    return judge_for(rules, workorder, said[_TYPE], said[_ENCODING])
