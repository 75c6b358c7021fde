"""The command line. What a command needs is imported when it runs, so that `--help` is fast."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from config.models import Settings

NAME = "portal-gateway"

app = typer.Typer(
    name=NAME,
    help="A reverse proxy that makes it safe to show one work order to somebody outside.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
key_app = typer.Typer(help="Keys of the admin API.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(key_app, name="key")


# The same words as in config.models and gateway.store.keys, which are slow to import.
Part = Literal["all", "gateway", "admin", "worker"]
Role = Literal["admin", "editor", "viewer"]
Config = Annotated[
    Path | None,
    typer.Option("--config", help="The settings' TOML file; PORTAL_CONFIG names one, too."),
]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command: exit 0, 1 (a fault, told on stderr), or 2 (a bad command line)."""
    from config.settings_error import SettingsError
    from gateway.errors import GatewayError

    try:
        app(args=None if arguments is None else list(arguments), prog_name=NAME)
    except SettingsError as error:
        for fault in error.faults:
            typer.echo(fault, err=True)
    except GatewayError as error:
        typer.echo(str(error), err=True)
    sys.exit(1)


def _settings(config: Path | None, part: Part = "all") -> Settings:
    from config.load import load_settings

    return load_settings(config, part=part)


def _run_fast(work: Coroutine[object, object, None]) -> None:
    """Run `work` to its end on uvloop, where there is one."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        asyncio.run(work)
        return
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(work)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """The options before any command."""


@app.command()
def demo() -> None:
    """Everything embedded, nothing to configure: try the gateway on a sample work-order system."""
    from gateway.demo.run import main as run_demo

    run_demo()


@app.command()
def serve(
    config: Config = None,
    part: Annotated[Part, typer.Option(help="Serve this part alone.")] = "all",
) -> None:
    """Serve the gateway, the admin API and the background work, as configured."""
    settings = _settings(config, part)
    from gateway.app import serve as serve_app
    from gateway.logs import configure_logs

    configure_logs(settings.log_format, settings.log_level)
    _run_fast(serve_app(settings, part))


@app.command()
def check(config: Config = None) -> None:
    """Try the settings, the database, Redis, the upstreams and the mail server."""
    settings = _settings(config)
    from gateway.check import check_all, report

    findings = asyncio.run(check_all(settings))
    typer.echo(report(findings))
    raise typer.Exit(1 if any(finding.problem for finding in findings) else 0)


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="The request's method, as in GET.")],
    url: Annotated[str, typer.Argument(help="The address that a visitor asks for, or its path.")],
    workorder: Annotated[str, typer.Option(help="The link's work order.")],
    link: Annotated[str | None, typer.Option(help="The id of a link to judge by.")] = None,
    data: Annotated[str | None, typer.Option(help="A body, for a row that judges it.")] = None,
    content_type: Annotated[
        str, typer.Option(help="What the body is.")
    ] = "application/x-www-form-urlencoded",
    config: Config = None,
) -> None:
    """Tell what the gateway makes of a request: the tool to write routes with."""
    settings = _settings(config)
    from gateway.explain import Body
    from gateway.explain import explain as explain_request

    body = None if data is None else Body(data, content_type)
    typer.echo(asyncio.run(explain_request(settings, method, url, workorder, link, body)))


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the database's schema up to date."""
    settings = _settings(config)
    from gateway import upkeep

    typer.echo(asyncio.run(upkeep.migrate(settings)))


@app.command()
def rewrap(config: Config = None) -> None:
    """Encrypt what is stored under the first secret key, so that older keys can be dropped."""
    settings = _settings(config)
    from gateway import upkeep

    for name, number in asyncio.run(upkeep.rewrap(settings)).items():
        typer.echo(f"{name} encrypted anew: {number}")


@app.command()
def forget(
    visitor: Annotated[
        str, typer.Argument(help="A verified mail address, or a visitor's id from the access log.")
    ],
    config: Config = None,
) -> None:
    """Delete what is kept of one visitor. What was counted stays counted."""
    settings = _settings(config)
    from gateway import upkeep

    number = asyncio.run(upkeep.forget(settings, visitor))
    typer.echo(f"Entries of the access log deleted: {number}")


@key_app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is.")],
    role: Annotated[Role, typer.Option(help="What it may do.")],
    namespace: Annotated[
        list[str] | None, typer.Option(help="Only links of this company namespace; repeatable.")
    ] = None,
    config: Config = None,
) -> None:
    """Make a key. It is printed once, alone on the last line."""
    settings = _settings(config)
    from gateway import upkeep

    key, secret = asyncio.run(upkeep.create_key(settings, name, role, namespace or ()))
    typer.echo(f"Key {key.id} for {key.name} ({key.role}). It is shown this once:")
    typer.echo(secret)


@key_app.command("list")
def list_keys(config: Config = None) -> None:
    """List the keys, without their secrets."""
    settings = _settings(config)
    from gateway import upkeep

    typer.echo(upkeep.key_table(asyncio.run(upkeep.list_keys(settings))))


@key_app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As 'key list' shows it.")],
    config: Config = None,
) -> None:
    """End a key at once."""
    settings = _settings(config)
    from gateway import upkeep

    if not asyncio.run(upkeep.revoke_key(settings, key_id)):
        typer.echo(f"There is no key {key_id}.", err=True)
        raise typer.Exit(1)
    typer.echo(f"Key {key_id} is revoked.")
