"""The settings: what can be set, and where it is read from.

values   the small parsers behind single settings: origins, listeners, networks, headers
models   every setting, as frozen models: no I/O
shape    what settings there are, read from the models
sources  where they come from: a TOML file, and the environment, which wins
load     reads them from a TOML file and the environment, and lists all that is wrong at once
settings_error  the one error of that
secret_keys     the secret keys, as set, or generated once
"""
