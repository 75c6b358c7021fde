"""The visitors' listener: from bytes on a socket to one whole request after the other.

sockets   what is listened on
server    accepting, counting, draining
protocol  one connection: its time limits, its errors, its end
serving   its requests, answered one after the other
request   a request that knows whether its connection will outlive it
faults    what is said about an exception that nobody expected
framing   where each request ends; aiohttp's parser is given no byte beyond it
chunks    the same, within a chunked body
message   the request heads that are refused before anybody looks at what they want
"""

from __future__ import annotations

from gateway.listener.message import check_message
from gateway.listener.protocol import Refuse
from gateway.listener.request import peer_address
from gateway.listener.server import Listener
from gateway.listener.sockets import ListenError, open_sockets

__all__ = ["ListenError", "Listener", "Refuse", "check_message", "open_sockets", "peer_address"]
