"""The settings: what can be set, and where it is read from.

values   the small parsers behind single settings: origins, listeners, networks, headers
models   every setting, as frozen models: no I/O
load     reads them from a TOML file and the environment, and lists all that is wrong at once
"""
