"""The admin API: what an owner of links meets.

A request's way, by the modules it passes:

app         the routes, and what every answer carries
errors      every failure as the one envelope
auth        whose key it is, and what that key may see and change
operations  the table of operations: path, verb, role, what is sent and what is answered
query       the query string, read into a model
body        the body, read as strict JSON
values      the values a request may hold, each checked once and spelled one way afterwards
checks      those checks: a sentence that refuses, or the one spelling
schemas     the documents that are sent and answered
validation  a document against its schema, with every fault told
preconditions  `If-Match`: a change made on a version that is no more
changes     what a request makes of a link
links       the operations on links
keys        the operations on keys
deliveries  the operations on webhooks that have not arrived
documents   a link, an entry, a key or a webhook as the document that is answered
answers     documents as responses
public      what needs no key: health, metrics, the domain check
openapi     the description of all of it, generated from `operations` and `schemas`
page        the page at /docs
parts       what all of it is built from; the composition root gives it
"""
