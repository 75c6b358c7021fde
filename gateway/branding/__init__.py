"""A link's logo, from the address that its owner typed to the visitor's page.

pictures  what is a logo, judged by its content
fetching  the worker's part: fetch what links name, once
shelf     the gateway's part: which logo is served where, from memory

Visitors' browsers get the bytes from this gateway. The logo's own server would learn each
visitor's address before any rule has let them in.
"""
