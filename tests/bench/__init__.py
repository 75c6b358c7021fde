"""The figures of docs/performance.md, measured by `python -m tests.bench`.

processes     servers as processes of their own, pinned to a core; what /proc says of them
backend       the backend behind both proxies
bare_proxy    what the gateway is held against: a proxy without any rule
gateway       the gateway itself, with a link and a session
load          wrk, and what it prints
requests      requests per second, the gateway and the bare proxy in turn
bodies        1 GiB through the gateway, either way, and the memory that it takes
journal       what one entry in the access journal costs
report        the figures as tables, and their place in the document
"""
