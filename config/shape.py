"""What settings there are, read from the models: for the sources, for suggestions, for the docs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel

from config.models import Settings

# What may also be given as `..._file`, a path to read it from; upstream.headers are the others.
SECRETS = ("secret_keys", "admin_key", "smtp_url", "database_url", "redis_url")
# The same, of each webhook.
WEBHOOKS = "notification_webhooks"
WEBHOOK_SECRETS = ("url", "secret")
# Tables that hold a table of the same kind for each name that an operator chooses.
NAMED_TABLES = ("upstreams", WEBHOOKS)


def annotation_at(path: Sequence[str]) -> Any:
    """The type of the setting at `path` (`("upstream", "url")`), or None if there is none."""
    here: Any = Settings
    for key in path:
        if _is_model(here):
            field = here.model_fields.get(key)
            here = None if field is None else field.annotation
        elif get_origin(here) is dict:
            here = get_args(here)[1]
        else:
            return None
    return here


def is_table(annotation: Any) -> bool:
    """Whether a setting of this type is a table."""
    return _is_model(annotation) or get_origin(annotation) is dict


def is_list(annotation: Any) -> bool:
    """Whether a setting of this type is a list."""
    return any(get_origin(kind) is tuple for kind in (annotation, *get_args(annotation)))


def is_header(path: Sequence[str]) -> bool:
    """Whether `path` names a header of a backend."""
    return tuple(path[:-1]) == ("upstream", "headers") or (
        len(path) == 4 and path[0] == "upstreams" and path[2] == "headers"
    )


def known_settings(upstream_name: str = "NAME") -> Iterator[str]:
    """Every setting, dotted, leaves only; `upstreams` as if it had one table of that name.

    So has `notification_webhooks`.
    """
    yield from _leaves(Settings, "", upstream_name)
    yield from (f"{name}_file" for name in SECRETS)
    yield from (f"{WEBHOOKS}.{upstream_name}.{name}_file" for name in WEBHOOK_SECRETS)


def _leaves(model: type[BaseModel], prefix: str, upstream_name: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if _is_model(field.annotation):
            yield from _leaves(
                cast("type[BaseModel]", field.annotation), f"{prefix}{name}.", upstream_name
            )
        elif name in NAMED_TABLES:
            table = get_args(field.annotation)[1]
            yield from _leaves(table, f"{prefix}{name}.{upstream_name}.", upstream_name)
        else:
            yield f"{prefix}{name}"


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
