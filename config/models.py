"""Every setting, as frozen models. No I/O: `config.load` reads them.

Settings
├── upstream, upstreams.NAME   UpstreamSettings, with RouteSettings
├── limits       LimitSettings
├── session      SessionSettings, with a LifetimeSettings for each link type
├── throttle     ThrottleSettings
├── notifications              NotificationSettings
├── notification_webhooks.NAME WebhookSettings
├── cache, drain, database, access_log, logos

Durations are seconds. What depends on two settings is judged at the later of the two, so that
every fault is found in one pass (a model's own validator runs only if all its fields are good).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from config import values
from gateway.links.body_rules import FieldValue
from gateway.links.model import LinkType, Permission
from gateway.links.routes import Route, RouteTable, default_routes
from gateway.links.session import Lifetime
from gateway.request.client_ip import TrustedProxies

Part = Literal["all", "gateway", "admin", "worker"]
EMBEDDED = "embedded"
MIN_SECRET_KEY = 32
_REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "redis+cluster")


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _permission(value: object) -> Permission | None:
    if value == "none":
        return None
    for permission in Permission:
        if value == permission:
            return permission
    raise ValueError(f"one of none, {', '.join(Permission)} is wanted")


def _body_value(value: object) -> FieldValue:
    """A value, or a list of them, as text: a JSON document may hold a number or a truth value."""
    if isinstance(value, list | tuple):
        return tuple(_one_text(each) for each in value)
    return _one_text(value)


def _one_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int):
        return str(value)
    raise ValueError("a text, a whole number, true, false, or a list of these is wanted")


BodyValue = Annotated[FieldValue, PlainValidator(_body_value)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]
Origin = Annotated[str, AfterValidator(values.parse_origin)]
UpstreamOrigin = Annotated[str, AfterValidator(values.parse_upstream_url)]
LandingPath = Annotated[str, AfterValidator(values.check_landing_path)]
HeaderName = Annotated[str, AfterValidator(values.check_header_name)]
CookieName = Annotated[str, AfterValidator(values.check_cookie_name)]
MailFrom = Annotated[str, AfterValidator(values.check_mail_from)]
# Those of gateway.languages.
LanguageCode = Literal["en", "ar", "de", "es", "fr"]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )


class RouteSettings(_Model):
    """One row of `[[upstream.routes]]`. `permission` None is written "none": a session is enough."""

    methods: tuple[str, ...]
    path: str
    permission: Annotated[Permission | None, PlainValidator(_permission)]
    action: str
    cacheable: bool = False
    websocket: bool = False
    form: dict[str, BodyValue] = Field(default_factory=dict)
    # Not "json": pydantic's models have a method of that name.
    members: dict[str, BodyValue] = Field(default_factory=dict, alias="json")
    absent: tuple[str, ...] = ()

    def route(self) -> Route:
        """The row, compiled. Raises ValueError, which names the row by its path."""
        return Route.parse(
            self.methods,
            self.path,
            self.permission,
            self.action,
            cacheable=self.cacheable,
            websocket=self.websocket,
            form=self.form,
            json=self.members,
            absent=self.absent,
        )

    @model_validator(mode="after")
    def _compiles(self) -> RouteSettings:
        self.route()
        return self


class UpstreamSettings(_Model):
    """A backend, and what may pass to it. `routes` None is the default table."""

    url: UpstreamOrigin
    path: LandingPath = f"/workorders/{values.WORKORDER}"
    routes: tuple[RouteSettings, ...] | None = None
    headers: dict[HeaderName, SecretStr] = Field(default_factory=dict)
    login: None = None
    cookies: Literal["seal", "pass", "drop"] = "seal"
    readable_cookies: tuple[CookieName, ...] = ()
    preserve_host: bool = False
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None

    @field_validator("readable_cookies")
    @classmethod
    def _of_sealed(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if names and info.data.get("cookies", "seal") != "seal":
            raise ValueError("only sealed cookies have copies: cookies is not 'seal'")
        return names

    @field_validator("headers")
    @classmethod
    def _header_values(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            try:
                values.check_header_value(value.get_secret_value())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return headers

    @field_validator("login", mode="before")
    @classmethod
    def _no_login(cls, login: object) -> None:
        if login is not None:
            raise ValueError("a form login is not supported by this version")

    @field_validator("client_key_file")
    @classmethod
    def _pair(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        certificate = info.data.get("client_cert_file")
        if key is not None and "client_cert_file" in info.data and certificate is None:
            raise ValueError("it needs client_cert_file beside it")
        return key

    @property
    def socket_path(self) -> str | None:
        """The socket of an `http+unix://` backend, or None."""
        return values.socket_path(self.url)

    def route_table(self) -> RouteTable:
        """What may pass to this backend."""
        if self.routes is None:
            return RouteTable(default_routes())
        return RouteTable(row.route() for row in self.routes)


class LimitSettings(_Model):
    """Bounds on one visitor. Sizes are bytes; `max_body` 0 is no limit.

    `max_inspected_body` bounds what is kept of a body while it is judged. `body_timeout` is the time
    without a single byte, not the time of a whole body.
    """

    header_timeout: Seconds = 10.0
    body_timeout: Seconds = 30.0
    upstream_connect_timeout: Seconds = 5.0
    upstream_read_timeout: Seconds = 60.0
    max_body: int = Field(default=0, ge=0)
    max_inspected_body: Count = 1048576
    max_header_size: Count = 16384
    max_connections: Count = 10000


class LifetimeSettings(_Model):
    """How long a session lives: `life` from its opening, `idle` from its last use."""

    life: Seconds
    idle: Seconds

    def lifetime(self) -> Lifetime:
        """The same as the rules take it."""
        return Lifetime(self.life, self.idle)


_LIFETIMES: dict[str, dict[str, float]] = {
    "public": {"life": 86400.0, "idle": 86400.0},
    "private": {"life": 43200.0, "idle": 7200.0},
    "secure": {"life": 3600.0, "idle": 900.0},
}


class SessionSettings(_Model):
    """A session's lifetime by link type; what a table leaves out keeps that type's default."""

    public: LifetimeSettings = LifetimeSettings(**_LIFETIMES["public"])
    private: LifetimeSettings = LifetimeSettings(**_LIFETIMES["private"])
    secure: LifetimeSettings = LifetimeSettings(**_LIFETIMES["secure"])

    @field_validator("public", "private", "secure", mode="before")
    @classmethod
    def _fill(cls, table: object, info: ValidationInfo) -> object:
        if isinstance(table, Mapping) and info.field_name is not None:
            return {**_LIFETIMES[info.field_name], **table}
        return table

    def lifetime(self, link_type: LinkType) -> Lifetime:
        """How long sessions on links of this type live."""
        chosen: LifetimeSettings = getattr(self, link_type.value)
        return chosen.lifetime()


class ThrottleSettings(_Model):
    """How often something may go wrong within `window` seconds."""

    window: Seconds = 3600.0
    failures_per_address: Count = 10
    failures_per_link: Count = 100
    codes_per_email: Count = 5
    codes_per_address: Count = 20


class NotificationSettings(_Model):
    """How owners are told: events on one link within `gather` seconds are one mail.

    `language` is that of the mails: what a visitor's browser asks for, nobody knows of an owner.
    """

    gather: float = Field(default=60.0, ge=0, allow_inf_nan=False)
    language: LanguageCode = "en"


class WebhookSettings(_Model):
    """Where the events of a namespace's links are posted, and what signs them.

    `secret` is one `whsec_` secret, or several with commas between them: each of them signs, so
    that a receiver can be given a new one before the old one is dropped.
    """

    url: SecretStr
    secret: SecretStr
    allow_private_addresses: bool = False

    @field_validator("url")
    @classmethod
    def _url(cls, url: SecretStr) -> SecretStr:
        values.check_webhook_url(url.get_secret_value())
        return url

    @field_validator("secret")
    @classmethod
    def _secret(cls, secret: SecretStr) -> SecretStr:
        values.parse_webhook_secrets(secret.get_secret_value())
        return secret

    def keys(self) -> tuple[bytes, ...]:
        """The keys that sign."""
        return values.parse_webhook_secrets(self.secret.get_secret_value())


class CacheSettings(_Model):
    """How many links stay in memory."""

    max_links: Count = 10000


class DrainSettings(_Model):
    """The end of a process: readiness fails for `delay`, then requests get `timeout` to finish."""

    delay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    timeout: Seconds = 30.0


class DatabaseSettings(_Model):
    """Connections to the database; no statement waits longer than `statement_timeout`."""

    pool_size: Count = 10
    statement_timeout: Seconds = 5.0


class LogoSettings(_Model):
    """The logos that links name. `allow_private_addresses` lets the worker fetch from this network."""

    allow_private_addresses: bool = False


class AccessLogSettings(_Model):
    """What becomes of the access log; `retention_days` 0 keeps it."""

    retention_days: int = Field(default=0, ge=0)
    anonymize_ip: bool = False


class Settings(_Model):
    """Everything that can be set; `config/examples/portal.toml` tells what each is for."""

    public_url: Origin = "http://127.0.0.1:8080"
    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:8081"
    upstream: UpstreamSettings
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    database_url: str = Field(default="sqlite:///portal.db", repr=False)
    redis_url: str = Field(default=EMBEDDED, repr=False)
    data_dir: Path = Path("data")
    secret_keys: tuple[SecretStr, ...] = ()
    admin_key: SecretStr | None = None
    trusted_proxies: tuple[str, ...] = ()
    smtp_url: SecretStr | None = None
    mail_from: MailFrom | None = None
    workers: Count = 1
    limits: LimitSettings = LimitSettings()
    session: SessionSettings = SessionSettings()
    throttle: ThrottleSettings = ThrottleSettings()
    notifications: NotificationSettings = NotificationSettings()
    notification_webhooks: dict[str, WebhookSettings] = Field(default_factory=dict)
    cache: CacheSettings = CacheSettings()
    drain: DrainSettings = DrainSettings()
    database: DatabaseSettings = DatabaseSettings()
    access_log: AccessLogSettings = AccessLogSettings()
    logos: LogoSettings = LogoSettings()
    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: LogLevel = "info"

    @field_validator("listen", "admin_listen")
    @classmethod
    def _listens(cls, text: str, info: ValidationInfo) -> str:
        listen = values.parse_listen(text)
        same = info.field_name == "admin_listen" and text == info.data.get("listen")
        if same and (listen.path or listen.port):
            raise ValueError("visitors and admins need a listener each")
        return text

    @field_validator("upstreams")
    @classmethod
    def _inherit(
        cls, upstreams: dict[str, UpstreamSettings], info: ValidationInfo
    ) -> dict[str, UpstreamSettings]:
        """What describes the system is inherited; what belongs to one account never is."""
        main: UpstreamSettings | None = info.data.get("upstream")
        if main is None:
            return upstreams
        shared = {name: getattr(main, name) for name in ("path", "routes", "preserve_host")}
        return {
            name: own.model_copy(
                update={k: v for k, v in shared.items() if k not in own.model_fields_set}
            )
            for name, own in upstreams.items()
        }

    @field_validator("database_url")
    @classmethod
    def _database(cls, url: str) -> str:
        parts = values.split_url(url)
        if parts.scheme == "sqlite" and url.startswith("sqlite:///") and parts.path != "/":
            return url
        if parts.scheme in {"postgresql", "postgres"}:
            return url
        raise ValueError("sqlite:///path or postgresql://user:password@host/name is wanted")

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str) -> str:
        parts = values.split_url(url)
        if url == EMBEDDED or (parts.scheme in _REDIS_SCHEMES and (parts.netloc or parts.path)):
            return url
        schemes = ", ".join(f"{scheme}://" for scheme in _REDIS_SCHEMES)
        raise ValueError(f"'embedded' or one of {schemes} is wanted")

    @field_validator("secret_keys")
    @classmethod
    def _long_keys(cls, keys: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        if any(len(key.get_secret_value()) < MIN_SECRET_KEY for key in keys):
            raise ValueError(f"each key has to have at least {MIN_SECRET_KEY} characters")
        database_url = info.data.get("database_url", "sqlite:")
        if not keys and not database_url.startswith("sqlite:"):
            raise ValueError("they are required unless the database is SQLite")
        return keys

    @field_validator("admin_key")
    @classmethod
    def _visible_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not all("!" <= c <= "~" for c in key.get_secret_value() or " "):
            raise ValueError("visible ASCII characters are wanted: the key travels in a header")
        return key

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        values.parse_trusted_proxies(entries)
        return entries

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            values.check_smtp_url(url.get_secret_value())
        return url

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if sender is None and info.data.get("smtp_url") is not None:
            raise ValueError("smtp_url needs it: the address that codes are sent from")
        return sender

    @field_validator("workers")
    @classmethod
    def _one_process(cls, workers: int, info: ValidationInfo) -> int:
        if workers > 1 and info.data.get("redis_url") == EMBEDDED:
            raise ValueError(
                "more than one needs a real Redis, and this version serves with one process"
            )
        if workers > 1:
            raise ValueError("this version serves with one process")
        return workers

    @property
    def scheme(self) -> str:
        """`http` or `https`: what visitors use on the public host."""
        return self.public_url.partition("://")[0]

    @property
    def public_host(self) -> str:
        """The public host, normalised, with its port unless that is the scheme's own."""
        return self.public_url.partition("://")[2]

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return self.database_url.startswith("sqlite:")

    @property
    def is_redis_embedded(self) -> bool:
        """Whether Redis lives inside this process."""
        return self.redis_url == EMBEDDED

    def proxies(self) -> TrustedProxies:
        """`trusted_proxies`, parsed."""
        return values.parse_trusted_proxies(self.trusted_proxies)

    def all_upstreams(self) -> dict[str, UpstreamSettings]:
        """Every backend by the name of its table: `upstream`, `upstreams.NAME`."""
        named = {f"upstreams.{name}": upstream for name, upstream in self.upstreams.items()}
        return {"upstream": self.upstream, **named}

    def upstream_for(self, namespaces: tuple[str, ...]) -> UpstreamSettings:
        """The backend of a link: the first of its namespaces that has one, or else `upstream`."""
        own = (self.upstreams[name] for name in namespaces if name in self.upstreams)
        return next(own, self.upstream)


def part_problem(settings: Settings, part: Part) -> list[str]:
    """Why these settings cannot serve `part` alone."""
    if part != "all" and settings.is_redis_embedded:
        return [f"redis_url: 'embedded' is for --part all: --part {part} needs a real Redis"]
    return []
