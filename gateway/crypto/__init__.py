"""Secrets: how they are made, shown to be ours, kept, and checked.

tokens     what is random: portal tokens, ids, keys; and the hash that finds a token again
signing    values that a browser carries and cannot change, and keyed hashes
sealing    values that are kept and may be read by this program alone
binding    the same for what a browser carries, each for one place alone
passwords  hashes of passwords, made and checked away from the event loop
"""
