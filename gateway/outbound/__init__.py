"""Requests to addresses that somebody typed: a link's logo, a webhook.

Whoever may write a link could otherwise make this machine ask what only it can reach: the cloud's
metadata service, a database's console, a neighbour (server-side request forgery).

addresses  which addresses may be spoken to (pure)
resolver   asks the system's resolver, and lets no name through that leads to another address
client     one request, within limits; every redirect is judged like a first address

    async with GuardedClient(allow_private=False) as client:
        reply = await client.fetch(url, Limits(max_bytes=262_144, timeout=10))
        reply = await client.post(url, headers, body, timeout=10)

Raises OutboundRefused (it will not be otherwise another time) or OutboundFailed (it may be).
"""

from gateway.outbound.client import GuardedClient, Limits, Reply

__all__ = ["GuardedClient", "Limits", "Reply"]
