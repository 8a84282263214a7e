"""Settings: flags over ``TOCSIN_*`` variables over ``tocsin.toml``. Read by the command line and :mod:`tocsin.app` alone.

Each secret can also come from a file (``TOCSIN_DATABASE_URL_FILE`` …); both set is a contradiction and stops the start.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tocsin.kernel.errors import Unusable

SECRETS = (
    "database_url", "smtp_password", "ntfy_token", "webhook_secret", "slack_token", "twilio_token", "egress_proxy",
)  # fmt: skip

OF_THE_CLIENT = {
    "TOCSIN_URL": "address of the server that is asked; without it the `public_url` of the settings, else their `host` and `port`",
    "TOCSIN_TOKEN": "API token to ask with: the first start prints one, and *Account* makes more",
}
"""variables of the commands that ask a server, beside the settings → what each means"""

BESIDE = ("TOCSIN_SAMPLES", "TOCSIN_PICTURES")
"""variables of the tests, which may stand where Tocsin runs too"""


def _web_address(text: str) -> str:
    """``text``, where it can be asked over HTTP or is empty. It is not said back: some of these are secrets."""
    if text and not text.lower().startswith(("https://", "http://")):
        raise ValueError("it does not begin with https:// or http://; write it like https://host.example")
    if text and not _host(text):
        raise ValueError("it names no host; write it like https://host.example")
    return text


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        return ""
    return parts.hostname if parts.hostname and not re.search(r"\s", address) else ""


def _database(text: str) -> str:
    if text and "://" not in text:
        raise ValueError("it does not begin with postgresql://; write it like postgresql://tocsin@db/tocsin")
    return text


WebAddress = Annotated[str, AfterValidator(_web_address)]


class Settings(BaseModel):
    """Everything that can be set. The variable of ``smtp_host`` is ``TOCSIN_SMTP_HOST``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    data: str = Field("tocsin-data", description="folder of the database and the keys")
    database_url: Annotated[str, AfterValidator(_database)] = Field(
        "", description="postgresql://… instead of SQLite in the data folder"
    )
    policy: str = Field("", description="policy file that seeds an empty database")
    public_url: WebAddress = Field(
        "", description="address under which people reach Tocsin; links in pages are built on it"
    )
    trusted_proxies: str = Field(
        "", description="networks of proxies whose X-Forwarded-For is believed, with commas between"
    )
    heartbeat_url: WebAddress = Field(
        "", description="watchdog outside that is pinged each minute while nothing is late"
    )
    demo: bool = Field(False, description="a fictional organisation, no real channel")
    smtp_host: str = Field("", description="mail server; e-mail is off without it")
    smtp_port: int = Field(25, description="its port")
    smtp_user: str = Field("", description="user name for it")
    smtp_password: str = Field("", description="password for it")
    smtp_from: str = Field("tocsin@localhost", description="sender's address")
    smtp_tls: Literal["none", "starttls", "tls"] = Field("none", description="none, starttls or tls")
    ntfy_server: WebAddress = Field(
        "", description="ntfy server for push, such as https://ntfy.sh; push is off without it"
    )
    ntfy_token: str = Field("", description="access token for that server")
    webhook_secret: str = Field("", description="whsec_…, signs outgoing web hooks; they are off without it")
    slack_token: str = Field("", description="bot token (xoxb-…) with chat:write; Slack is off without it")
    slack_url: WebAddress = Field("https://slack.com/api", description="base address of Slack's API")
    twilio_account: str = Field("", description="account SID (AC…); SMS and calls are off without it")
    twilio_token: str = Field("", description="its auth token; also checks the signature of what comes back")
    twilio_from: str = Field("", description="number in E.164, or a messaging service (MG…) for SMS alone")
    twilio_url: WebAddress = Field("https://api.twilio.com", description="base address of Twilio's API")
    pagerduty_out: bool = Field(False, description="allow contacts that are routing keys of PagerDuty")
    pagerduty_url: WebAddress = Field(
        "https://events.pagerduty.com", description="base address of PagerDuty's Events API"
    )
    apprise: bool = Field(False, description="allow contacts that are Apprise URLs; needs tocsin[apprise]")
    egress_allow: str = Field(
        "", description="hosts and networks inside that providers may reach, with commas between"
    )
    egress_proxy: WebAddress = Field("", description="HTTP proxy for everything that goes out")
    ca_bundle: str = Field("", description="file of certificates to trust instead of the system's")

    @property
    def url(self) -> str:
        """The public URL, or where it listens."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")


def load_settings(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None
) -> Settings:
    """Puts the three sources together. Raises :class:`Unusable` with a sentence for a contradiction or a wrong value."""
    values: dict[str, Any] = {}
    said: dict[str, str] = {}
    """setting → where it was set"""
    path = file or Path("tocsin.toml")
    if path.is_file():
        try:
            values.update(tomllib.loads(path.read_text(encoding="utf-8")))
        except tomllib.TOMLDecodeError as error:
            raise Unusable(f"{path} is not valid TOML: {error}", str(path)) from None
        said = dict.fromkeys(values, str(path))
    for name in Settings.model_fields:
        variable = f"TOCSIN_{name.upper()}"
        if variable in environment and f"{variable}_FILE" in environment:
            raise Unusable(f"both {variable} and {variable}_FILE are set; keep one of them", variable)
        if variable in environment:
            values[name], said[name] = environment[variable], variable
        elif name in SECRETS and f"{variable}_FILE" in environment:
            secret = Path(environment[f"{variable}_FILE"])
            try:
                values[name], said[name] = secret.read_text(encoding="utf-8").strip(), f"{variable}_FILE"
            except OSError as error:
                raise Unusable(
                    f"{variable}_FILE names a file that cannot be read: {error.strerror}", variable
                ) from None
    given = {name: value for name, value in flags.items() if value is not None}
    values.update(given)
    said.update({name: f"--{name.replace('_', '-')}" for name in given})
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        place = f" (from {said[where]})" if where in said else ""
        why = first["msg"].removeprefix("Value error, ")
        raise Unusable(f"the setting {where}{place} cannot be used: {why}", where) from None


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that begins like one of Tocsin's and is none: it was probably meant to be one.

    It does not stop the start, as an unknown key of the file does: others set variables too (Kubernetes for a service of this
    name, say).
    """
    names = [f"TOCSIN_{name.upper()}" for name in Settings.model_fields]
    files = [f"TOCSIN_{name.upper()}_FILE" for name in SECRETS]
    known = [*names, *files, *OF_THE_CLIENT]
    found: list[str] = []
    for variable in sorted(environment):
        if not variable.startswith("TOCSIN_") or variable in known or variable in BESIDE:
            continue
        if variable.removesuffix("_FILE") in names:
            hint = f"no secret, so that it comes from no file; set {variable.removesuffix('_FILE')}"
        else:
            # without what all begin with, which would make any two alike
            said = [one.removeprefix("TOCSIN_") for one in known]
            close = get_close_matches(variable.removeprefix("TOCSIN_"), said, 1)
            hint = f"did you mean TOCSIN_{close[0]}?" if close else "the settings stand in docs/reference.md"
        found.append(f"{variable} is not read here: {hint}")
    return found
