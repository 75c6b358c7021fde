"""The steps of a request that need more than a pure function; `gateway.handler` puts them in order.

intake       from aiohttp's request to a Scope
visit        the request on its way: what is known so far
own_paths    what the gateway serves of its own: health, style
resolve      which link this is about: by the token in the path, or by the visitor's sessions
backends     which backend the link leads to, and where on it
entrance     the rules, and the opening of a session
form         what a gate is sent
gatekeeping  the gates' own paths
record       the access log and the metrics
events       what a link's owner may want to be told of, beside the access log
unrouted     what no row named, told to whoever writes the rows
exchanges    answers in flight, and how they end when a rule stops holding
passage      the way to the backend
"""
