"""The way to the backend, and back.

headers        what the backend receives: names that are dropped, identity that is set (pure)
cookies        whose cookie is whose, in both directions (pure)
set_cookie     what a backend's `Set-Cookie` says (pure)
cookie_date    when a cookie expires (pure)
body           the visitor's body, counted and timed as it is read
judged_body    a body that its row judges, before it is sent and while it is
upstream       the backend as an interface: send, read, release, abort; errors are translated here
backend_socket the handshake of a WebSocket to the backend
connection     one connection to a backend: aiohttp's, with a strict gate before its parser
answer_head    what that gate lets through of an answer's head (pure)
answers        what the visitor receives: the answer's headers (pure)
destinations   where an answer may lead: Location, Refresh, Link (pure)
caching        what may be kept, and by whom (pure)
framing        who may frame the answer (pure)
response       the answer to the visitor, with nothing of the library's added
watch          ends an exchange when the visitor leaves, or when a rule stops holding
forward        one request there and back, streamed both ways
websocket      the same for a WebSocket
"""
