"""What a link is, and who may use it: plain values, no I/O.

model    the link as the rules see it, and as its owner sees it
routes   what may pass, as a table of rows, and which row a request meets
slots    one place of a row's pattern
parameters  parameters as a form sends them, and which names are one to some backend
body_rules  what a row wants of a request's body
session  what a visitor holds after the gates
verdict  the closed list of reasons, and what a decision is
rules    the decision: facts in, verdict out
"""
