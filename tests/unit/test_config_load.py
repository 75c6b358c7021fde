"""Where settings come from, which wins, and what is said of those that are wrong."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path

import pytest

from config.load import SettingsError, load_settings
from config.models import Part, Settings
from config.shape import SECRETS, known_settings

URL = "http://backend:8000"
HOOK = "https://receiver.example/a-secret"
SECRET = f"whsec_{b64encode(b'k' * 24).decode()}"
EXAMPLES = Path(__file__).parents[2] / "config" / "examples"


def load(file: Path | None = None, part: Part = "all", **environ: str) -> Settings:
    return load_settings(file, environ, part=part)


def faults(file: Path | None = None, part: Part = "all", **environ: str) -> dict[str, str]:
    """What is wrong, by the name that the fault's line begins with."""
    with pytest.raises(SettingsError) as caught:
        load(file, part, **environ)
    assert str(caught.value) == "\n".join(caught.value.faults)
    lines = [fault.partition(": ") for fault in caught.value.faults]
    assert len({name for name, _, _ in lines}) == len(lines), "a setting is named twice"
    return {name: message for name, _, message in lines}


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "portal.toml"


def write(file: Path, text: str) -> Path:
    file.write_text(text, "utf-8")
    return file


# --- where from


def test_file_alone(toml: Path) -> None:
    write(toml, f'listen = "unix:/run/p.sock"\n[upstream]\nurl = "{URL}"\n[limits]\nmax_body = 5')
    found = load(toml)
    assert (found.listen, found.upstream.url, found.limits.max_body) == ("unix:/run/p.sock", URL, 5)


def test_file_named_by_the_environment(toml: Path) -> None:
    write(toml, f'[upstream]\nurl = "{URL}"')
    assert load(PORTAL_CONFIG=str(toml)).upstream.url == URL


def test_option_wins_over_the_variable_that_names_a_file(toml: Path, tmp_path: Path) -> None:
    write(toml, f'[upstream]\nurl = "{URL}"')
    assert load(toml, PORTAL_CONFIG=str(tmp_path / "absent.toml")).upstream.url == URL


def test_environment_alone() -> None:
    found = load(
        PORTAL_UPSTREAM__URL=URL,
        PORTAL_UPSTREAM__PRESERVE_HOST="true",
        PORTAL_LIMITS__HEADER_TIMEOUT="2.5",
        PORTAL_SESSION__SECURE__IDLE="30",
        HOME="/home/somebody",
    )
    assert found.upstream.preserve_host is True
    assert found.limits.header_timeout == 2.5
    assert found.session.secure.model_dump() == {"life": 3600, "idle": 30}


def test_environment_wins_setting_by_setting(toml: Path) -> None:
    write(toml, f'log_level = "error"\n[upstream]\nurl = "{URL}"\npath = "/w/{{workorder}}"')
    found = load(toml, PORTAL_UPSTREAM__URL="http://other", PORTAL_LOG_LEVEL="debug")
    assert (found.upstream.url, found.upstream.path) == ("http://other", "/w/{workorder}")
    assert found.log_level == "debug"


def test_table_as_json_and_the_more_specific_variable() -> None:
    found = load(
        PORTAL_UPSTREAM=f'{{"url": "{URL}", "headers": {{"Authorization": "a"}}}}',
        PORTAL_UPSTREAM__PRESERVE_HOST="1",
        PORTAL_UPSTREAMS='{"Acme GmbH": {"url": "https://acme"}}',
        PORTAL_UPSTREAMS__B__URL="https://b",
    )
    assert found.upstream.url == URL
    assert found.upstream.preserve_host is True
    assert set(found.upstreams) == {"Acme GmbH", "b"}


def test_routes_as_json() -> None:
    row = '[{"methods": ["GET"], "path": "/{workorder}", "permission": "none", "action": "view"}]'
    found = load(PORTAL_UPSTREAM__URL=URL, PORTAL_UPSTREAM__ROUTES=row)
    assert [route.path for route in found.upstream.route_table().routes] == ["/{workorder}"]


@pytest.mark.parametrize("text", ["10.0.0.0/8, unix", "10.0.0.0/8,unix,", '["10.0.0.0/8", "unix"]'])
def test_list_in_the_environment(text: str) -> None:
    found = load(PORTAL_UPSTREAM__URL=URL, PORTAL_TRUSTED_PROXIES=text)
    assert found.trusted_proxies == ("10.0.0.0/8", "unix")


def test_a_webhook_of_the_environment() -> None:
    found = load(
        PORTAL_UPSTREAM__URL=URL,
        PORTAL_NOTIFICATION_WEBHOOKS=f'{{"*": {{"url": "{HOOK}", "secret": "{SECRET}"}}}}',
        PORTAL_NOTIFICATION_WEBHOOKS__ACME__URL=HOOK,
        PORTAL_NOTIFICATION_WEBHOOKS__ACME__SECRET=f"{SECRET}, {SECRET}",
        PORTAL_NOTIFICATION_WEBHOOKS__ACME__ALLOW_PRIVATE_ADDRESSES="true",
    ).notification_webhooks
    assert set(found) == {"*", "acme"}
    assert found["acme"].keys() == (b"k" * 24, b"k" * 24)
    assert found["acme"].allow_private_addresses
    assert not found["*"].allow_private_addresses
    assert SECRET not in repr(found)
    assert HOOK not in repr(found)


def test_a_webhook_of_the_file_and_its_secrets(toml: Path, tmp_path: Path) -> None:
    url, secret = write(tmp_path / "url", HOOK + "\n"), write(tmp_path / "secret", SECRET)
    write(
        toml,
        f'[upstream]\nurl = "{URL}"\n[notification_webhooks."Acme GmbH"]\n'
        f'url_file = "{url}"\nsecret_file = "{secret}"\n'
        f'[notification_webhooks.b]\nurl = "{HOOK}"\nsecret_file = "/absent"',
    )
    variable = {"PORTAL_NOTIFICATION_WEBHOOKS__B__SECRET": SECRET}
    found = load(toml, **variable).notification_webhooks
    assert found["Acme GmbH"].url.get_secret_value() == found["b"].url.get_secret_value() == HOOK
    assert found["Acme GmbH"].keys() == found["b"].keys()
    assert list(faults(toml)) == ["notification_webhooks.b.secret"]


def test_what_is_wrong_with_a_webhook() -> None:
    found = faults(
        PORTAL_UPSTREAM__URL=URL,
        PORTAL_NOTIFICATION_WEBHOOKS__ACME__URL="ftp://x/secret",
        PORTAL_NOTIFICATION_WEBHOOKS__ACME__SECRET="hunter2",
        PORTAL_NOTIFICATION_WEBHOOKS__B__SECRETS=SECRET,
    )
    assert set(found) == {
        "notification_webhooks.acme.url (PORTAL_NOTIFICATION_WEBHOOKS__ACME__URL)",
        "notification_webhooks.acme.secret (PORTAL_NOTIFICATION_WEBHOOKS__ACME__SECRET)",
        "notification_webhooks.b.url",
        "notification_webhooks.b.secret",
        "notification_webhooks.b.secrets (PORTAL_NOTIFICATION_WEBHOOKS__B__SECRETS)",
    }
    assert found["notification_webhooks.b.secrets (PORTAL_NOTIFICATION_WEBHOOKS__B__SECRETS)"] == (
        "there is no such setting; did you mean PORTAL_NOTIFICATION_WEBHOOKS__B__SECRET?"
    )
    assert "hunter2" not in str(found)
    assert "x/secret" not in str(found)


# --- secrets


def test_each_secret_can_come_from_a_file(tmp_path: Path) -> None:
    contents = {
        "secret_keys": "a" * 32 + "\n" + "b" * 32 + "\n",
        "admin_key": "pgk_admin\n",
        "smtp_url": "smtp://u:p@h",
        "database_url": "postgresql://u:p@h/n\n",
        "redis_url": "redis://:p@h\r\n",
    }
    assert set(contents) == set(SECRETS)
    environ = {"PORTAL_UPSTREAM__URL": URL, "PORTAL_MAIL_FROM": "a@b.c"}
    for name, text in contents.items():
        environ[f"PORTAL_{name.upper()}_FILE"] = str(write(tmp_path / name, text))
    found = load(**environ)
    assert [key.get_secret_value() for key in found.secret_keys] == ["a" * 32, "b" * 32]
    assert found.admin_key is not None
    assert found.admin_key.get_secret_value() == "pgk_admin"
    assert (found.database_url, found.redis_url) == ("postgresql://u:p@h/n", "redis://:p@h")


def test_a_secret_from_the_environment_needs_no_file_of_the_settings_file(
    toml: Path, tmp_path: Path
) -> None:
    write(
        toml,
        'admin_key_file = "/absent/key"\n'
        f'[upstream]\nurl = "{URL}"\nheaders = {{X-Key_FILE = "/absent/header"}}',
    )
    token = write(tmp_path / "token", "from a file")
    found = load(toml, PORTAL_ADMIN_KEY="given", PORTAL_UPSTREAM__HEADERS__X_KEY_FILE=str(token))
    assert found.admin_key is not None
    assert found.admin_key.get_secret_value() == "given"
    assert found.upstream.headers["X-Key"].get_secret_value() == "from a file"
    assert set(faults(toml)) == {"admin_key", "upstream.headers.X-Key"}


def test_secret_files_named_in_the_settings_file(toml: Path, tmp_path: Path) -> None:
    key = write(tmp_path / "key", "k" * 40)
    token = write(tmp_path / "token", "Bearer t\n")
    write(
        toml,
        f'secret_keys_file = "{key}"\n[upstream]\nurl = "{URL}"\n'
        f'[upstream.headers]\nAuthorization_FILE = "{token}"\n'
        f'[upstreams.a]\nurl = "{URL}"\nheaders = {{X-Key_file = "{key}"}}',
    )
    found = load(toml)
    assert found.secret_keys[0].get_secret_value() == "k" * 40
    assert found.upstream.headers["Authorization"].get_secret_value() == "Bearer t"
    assert found.upstreams["a"].headers["X-Key"].get_secret_value() == "k" * 40


def test_header_of_the_environment_replaces_the_file_s_under_any_spelling(
    toml: Path, tmp_path: Path
) -> None:
    write(toml, f'[upstream]\nurl = "{URL}"\nheaders = {{x-api-key = "old", X-Other = "kept"}}')
    token = write(tmp_path / "token", "Bearer t")
    found = load(
        toml,
        PORTAL_UPSTREAM__HEADERS__X_API_KEY="new",
        PORTAL_UPSTREAM__HEADERS__AUTHORIZATION_FILE=str(token),
    )
    assert {name: v.get_secret_value() for name, v in found.upstream.headers.items()} == {
        "X-Api-Key": "new",
        "X-Other": "kept",
        "Authorization": "Bearer t",
    }


def test_environment_s_secret_file_wins_over_the_file_s_secret(toml: Path, tmp_path: Path) -> None:
    write(toml, f'admin_key = "old"\n[upstream]\nurl = "{URL}"')
    found = load(toml, PORTAL_ADMIN_KEY_FILE=str(write(tmp_path / "k", "new")))
    assert found.admin_key is not None
    assert found.admin_key.get_secret_value() == "new"


# --- faults


def test_every_fault_at_once_from_every_source(toml: Path) -> None:
    write(toml, 'lissten = "x"\npublic_url = "https://a/b"\n[throttle]\nwindow = 0')
    found = faults(
        toml,
        PORTAL_WORKERS="many",
        PORTAL_LIMITS="{",
        PORTAL_ADMIN_KEY_FILE="/absent/file",
        PORTAL_UPSTREM__URL=URL,
    )
    assert found == {
        "limits (PORTAL_LIMITS)": "this is not JSON",
        "admin_key (PORTAL_ADMIN_KEY_FILE)": "the file cannot be read: No such file or directory",
        "public_url": "an origin has no path, query or fragment",
        "upstream.url": "it is required",
        "workers (PORTAL_WORKERS)": (
            "Input should be a valid integer, unable to parse string as an integer"
        ),
        "throttle.window": "Input should be greater than 0",
        "lissten": "there is no such setting; did you mean listen?",
        "upstrem (PORTAL_UPSTREM__URL)": (
            "there is no such setting; did you mean PORTAL_UPSTREAM__URL?"
        ),
    }


@pytest.mark.parametrize(
    ("variable", "name", "hint"),
    [
        pytest.param("PORTAL_UPSTREAM_URL", "upstream_url", "PORTAL_UPSTREAM__URL", id="one _"),
        pytest.param("PORTAL_ADMINKEY_FILE", "adminkey_file", "PORTAL_ADMIN_KEY_FILE", id="file"),
        pytest.param(
            "PORTAL_UPSTREAMS__ACME__CAFILE",
            "upstreams.acme.cafile",
            "PORTAL_UPSTREAMS__ACME__CA_FILE",
            id="another upstream",
        ),
        pytest.param("PORTAL_PORT_80_TCP", "port_80_tcp", "enableServiceLinks", id="kubernetes"),
        pytest.param("PORTAL_LISTEN__PORT", "listen.port", "no such setting", id="not a table"),
    ],
)
def test_unknown_variable_is_named_with_what_may_be_meant(
    variable: str, name: str, hint: str
) -> None:
    environ = {"PORTAL_UPSTREAM__URL": URL, "PORTAL_LISTEN": "a:1", variable: "x"}
    if "UPSTREAMS" in variable:
        environ["PORTAL_UPSTREAMS__ACME__URL"] = URL
    found = faults(**environ)
    assert list(found) == [f"{name} ({variable})"]
    assert hint in found[f"{name} ({variable})"]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        pytest.param("a = ", "config", "is not TOML", id="no TOML"),
        pytest.param(f'upstreem.url = "{URL}"', "upstreem", "did you mean upstream", id="table"),
        pytest.param(
            f'upstream.url = "{URL}"\nupstream.headers = {{a = "1", A = "2"}}',
            "upstream.headers.A",
            "given twice",
            id="header in two spellings",
        ),
        pytest.param(
            f'upstream.url = "{URL}"\nadmin_key = "a"\nadmin_key_file = "b"',
            "admin_key",
            "given twice",
            id="secret and its file",
        ),
        pytest.param(
            f'upstream.url = "{URL}"\nadmin_key_file = 5', "admin_key", "path", id="no path"
        ),
        pytest.param('upstream = "x"', "upstream", "dictionary", id="no table"),
        pytest.param(
            f'[upstream]\nurl = "{URL}"\n[[upstream.routes]]\npath = "/"',
            "upstream.routes[0].methods",
            "required",
            id="row",
        ),
    ],
)
def test_faults_of_a_file(toml: Path, text: str, name: str, message: str) -> None:
    found = faults(write(toml, text))
    assert name in found
    assert message in found[name]


def test_absent_file(tmp_path: Path) -> None:
    found = faults(tmp_path / "absent.toml")
    assert list(found) == ["config"]
    assert "No such file" in found["config"]


def test_embedded_redis_and_one_part() -> None:
    found = faults(part="gateway", PORTAL_UPSTREAM__URL=URL)
    assert list(found) == ["redis_url"]
    assert "--part gateway needs a real Redis" in found["redis_url"]


@pytest.mark.parametrize(
    "environ",
    [
        pytest.param({"PORTAL_DATABASE_URL": "mysql://u:HUNTER2@h"}, id="database"),
        pytest.param({"PORTAL_REDIS_URL": "http://:HUNTER2@h"}, id="redis"),
        pytest.param({"PORTAL_SMTP_URL": "smtp://u:HUNTER2@h:x"}, id="mail"),
        pytest.param({"PORTAL_SMTP_URL": "smtp://u:HUNTER2\u2100@h"}, id="mail, odd character"),
        pytest.param({"PORTAL_SECRET_KEYS": "HUNTER2,HUNTER2"}, id="keys"),
        pytest.param({"PORTAL_ADMIN_KEY": "HUNTER2 "}, id="admin key"),
        pytest.param({"PORTAL_ADMIN_KEY_FILE": "HUNTER2"}, id="secret in place of its file"),
        pytest.param({"PORTAL_UPSTREAM__HEADERS__A": "HUNTER2\n"}, id="header"),
        pytest.param({"PORTAL_UPSTREAM__URL": "http://u:HUNTER2@h"}, id="upstream"),
        pytest.param({"PORTAL_UPSTREAM": '{"url": "HUNTER2"'}, id="broken JSON"),
        pytest.param({"PORTAL_UPSTREAM__LOGIN": '{"password": "HUNTER2"}'}, id="login"),
        pytest.param({"PORTAL_WORKERS": "HUNTER2"}, id="number"),
        pytest.param({"PORTAL_LOG_FORMAT": "HUNTER2"}, id="choice"),
        pytest.param({"PORTAL_UNKNOWN": "HUNTER2"}, id="unknown"),
    ],
)
def test_no_fault_repeats_a_value(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(**{"PORTAL_UPSTREAM__URL": URL, **environ})
    shown: BaseException | None = caught.value
    while shown is not None:
        assert "HUNTER2" not in f"{shown!s} {shown!r}"
        shown = shown.__context__


# --- the examples


def test_minimal_example() -> None:
    assert load(EXAMPLES / "minimal.toml").public_url == "https://portal.example.com"


def test_full_example_names_every_setting_and_the_defaults_that_are() -> None:
    text = (EXAMPLES / "portal.toml").read_text("utf-8")
    assert load(EXAMPLES / "portal.toml") == load(EXAMPLES / "minimal.toml")
    for setting in known_settings():
        assert setting.rpartition(".")[2] in text, setting


def test_full_example_with_every_default_uncommented_changes_nothing(tmp_path: Path) -> None:
    """Each `#name = value` whose value is no mere example is the default."""
    examples = (
        "_file = ", "_FILE = ", '= "..."', '= ["..."]', "smtp_url = ", "mail_from = ", "login = ",
        "X-Shown-To = ", "acme.internal", "allow_private_addresses = ",
    )  # fmt: skip
    lines = []
    for line in (EXAMPLES / "portal.toml").read_text("utf-8").splitlines():
        is_setting = re.match(r"#([\w-]+ = |  \{ |\])", line)
        if is_setting and not any(e in line for e in examples):
            line = line[1:]
        lines.append(line)
    uncommented = write(tmp_path / "all.toml", "\n".join(lines))
    found, plain = load(uncommented), load(EXAMPLES / "minimal.toml")
    assert set(found.upstream.route_table().routes) == set(plain.upstream.route_table().routes)
    assert found.upstream.routes is not None
    assert found.model_dump(exclude={"upstream": {"routes"}}) == plain.model_dump(
        exclude={"upstream": {"routes"}}
    )


def test_nothing_but_upstream_url_is_required() -> None:
    assert load(PORTAL_UPSTREAM__URL=URL).upstream.url == URL
    assert list(faults()) == ["upstream.url"]
