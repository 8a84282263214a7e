"""The composition root: settings become a store, channels, an engine, a loop and a web application."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from tocsin import __version__
from tocsin.catalogue.people import Person
from tocsin.engine import sealing
from tocsin.engine.doctor import channel_findings
from tocsin.engine.engine import Engine, reply_key
from tocsin.engine.loop import Loop
from tocsin.engine.receiving import Integration
from tocsin.engine.watching import Beater, Heartbeat, Watch
from tocsin.identity.passwords import hash_password
from tocsin.identity.sessions import SIGN_IN_LINK_LIFETIME, SignInLink, secret_id
from tocsin.identity.tokens import key_hash, make_token
from tocsin.identity.vault import seal
from tocsin.incidents.organisation import demo_organisation, record_of, to_records
from tocsin.kernel.clock import Clock, ScaledClock, SharedClock, SystemClock, boot_id
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Refused, Unusable
from tocsin.kernel.ports import Channel, RecordRow, Store
from tocsin.kernel.randomness import SystemRandomness, token, ulid
from tocsin.link_requests import LinkRequests
from tocsin.policy.load import default_policy_text, load_policy
from tocsin.providers.apprise import AppriseChannel
from tocsin.providers.console import ConsoleChannel
from tocsin.providers.egress import Egress, EgressConfig, judge
from tocsin.providers.ntfy import NtfyChannel
from tocsin.providers.pagerduty_out import PagerDutyChannel
from tocsin.providers.slack import SlackChannel
from tocsin.providers.smtp import SmtpChannel, SmtpConfig
from tocsin.providers.twilio import SmsChannel, TwilioConfig, TwilioReplies, VoiceChannel
from tocsin.providers.webhook import WebhookChannel
from tocsin.settings import Settings
from tocsin.store import open_store
from tocsin.store.sqlite import SqliteStore, make_folder

log = structlog.get_logger("tocsin")

DEMO_FACTOR = 10
"""how much faster than the wall clock the demonstration's clock runs"""
DEMO_PERSON = "chiara"
DEMO_OWNER = "anna"
DEMO_PASSWORD = "checkout-is-burning"
DEMO_KEY = "demo0integration0key0000000000000"


class Tocsin(msgspec.Struct):
    """Everything that runs in one process. ``secrets`` shown once (sign-in link, keys) are in ``notes``."""

    settings: Settings
    engine: Engine
    loop: Loop
    store: Store
    phone: ConsoleChannel
    notes: dict[str, str]
    answers: TwilioReplies | None = None
    """reads what the telephony provider sends back, where one is configured"""
    beater: Beater | None = None
    """the sign of life of a process without a loop"""
    link_requests: LinkRequests | None = None
    """sign-in links that are asked for beside this process, where it has the database to itself"""

    def close(self) -> None:
        """Stops the loop, then closes the store."""
        if self.link_requests is not None:
            self.link_requests.stop()
        if self.beater is not None:
            self.beater.stop()
        self.loop.stop()
        self.store.close()


class Installation(msgspec.Struct):
    """A store with its secret and clock, before anything runs on it. The secret is empty where the key file is missing."""

    settings: Settings
    store: Store
    secret: bytes
    clock: Clock


def open_installation(settings: Settings, *, read_only: bool = False, migrate: bool = False) -> Installation:
    """Opens the data folder and the database. ``read_only``: beside a running server. Raises :class:`TocsinError`.

    With ``migrate``, for a start, a key is made where neither the folder has one nor the database was begun with one. What
    belongs to a demonstration is known by its mark, whatever the settings say.
    """
    folder = Path(settings.data)
    if not read_only:
        make_folder(folder)
    if read_only and not settings.database_url:
        store: Store = SqliteStore(str(folder), read_only=True)
    else:
        store = open_store(settings.database_url or str(folder))
    if migrate:
        store.migrate()
    shared = store.now() is not None if migrate or read_only else False
    clock: Clock = SharedClock(lambda: store.now() or 0) if shared else SystemClock()
    if read_only and store.read(lambda r: r.meta("demo")) is not None:
        settings = settings.model_copy(update={"demo": True})
    elif settings.demo:
        clock = ScaledClock(DEMO_FACTOR)
    if migrate and store.read(lambda r: r.meta(KEY_MARK)) is None:
        make_key(folder)
    return Installation(settings, store, read_key(folder), clock)


def engine_of(installation: Installation, phone: ConsoleChannel) -> Engine:
    """The engine on an opened installation."""
    settings = installation.settings
    channels = channels_of(settings, phone, installation.clock, installation.secret)
    return Engine(
        installation.store,
        installation.clock,
        SystemRandomness(),
        channels,
        secret=installation.secret,
        public_url=settings.url,
    )


def build(settings: Settings, kind: str = "serve") -> Tocsin:
    """Puts the parts together and seeds an empty database. ``kind``: serve, worker or web.

    Raises :class:`TocsinError` with a sentence.
    """
    if kind != "serve" and not settings.database_url:
        raise Unusable(
            f"tocsin {kind} shares one PostgreSQL with others; set TOCSIN_DATABASE_URL, or use tocsin serve",
            "database_url",
        )
    installation = open_installation(settings, migrate=True)
    store = installation.store
    try:
        _own_database(store, settings.demo)
        own_key(store, installation.secret, settings.data)
    except BaseException:
        store.close()
        raise
    phone = ConsoleChannel()
    engine = engine_of(installation, phone)
    watch = heartbeat = None
    if (
        not settings.demo
    ):  # the demonstration's clock runs fast, which would look like a clock that is being set
        process = f"{socket.gethostname()}:{os.getpid()}"
        watch = Watch(engine, kind, process, version=__version__, boot=boot_id())
        if settings.heartbeat_url and kind != "web":
            heartbeat = Heartbeat(engine, settings.heartbeat_url, pinger(egress_of(settings)))
    loop = Loop(engine, longest_sleep=0.2 if settings.demo else 1.0, watch=watch, heartbeat=heartbeat)
    engine.seed_policy(policy_text(settings))
    store.write(lambda tx: sealing.arm(tx, engine.clock.now()))
    if (
        store.dialect == "sqlite"
    ):  # one process at a time: the one before is gone, and so is whoever held its leases
        store.write(lambda tx: tx.release_leases())
    notes = _first_start(engine, store, installation.secret, settings)
    for finding in channel_findings(engine):
        if finding.level == "fail":
            log.warning(finding.found, what_to_do=finding.todo)
    answers = TwilioReplies(settings.twilio_token) if settings.twilio_token and not settings.demo else None
    return Tocsin(
        settings,
        engine,
        loop,
        store,
        phone,
        notes,
        answers,
        Beater(watch) if watch and kind == "web" else None,
        LinkRequests(Path(settings.data), lambda person, lookup: keep_link(engine, person, lookup))
        if store.dialect == "sqlite"
        else None,
    )


def pinger(egress: Egress) -> Callable[[str], None]:
    """Pings a URL; raises :class:`DeliveryFailed` where it does not answer with a success."""

    def ping(url: str) -> None:
        judge("the watchdog", egress.send("the watchdog", "GET", url))

    return ping


def policy_text(settings: Settings) -> str:
    """The policy file that seeds an empty database, checked; the default without one."""
    if not settings.policy:
        return default_policy_text()
    try:
        text = Path(settings.policy).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"the policy file {settings.policy} cannot be read: {error}", "policy") from None
    load_policy(text, settings.policy)
    return text


def egress_of(settings: Settings) -> Egress:
    """The one way out for HTTP."""
    allow = tuple(one.strip() for one in settings.egress_allow.split(",") if one.strip())
    return Egress(EgressConfig(allow, settings.egress_proxy, settings.ca_bundle))


def channels_of(settings: Settings, phone: ConsoleChannel, clock: Clock, secret: bytes) -> dict[str, Channel]:
    """The channels that are configured. A demonstration has its phone alone, which takes pushes and text messages."""
    if settings.demo:
        return {"console": phone, "sms": ConsoleChannel("sms", messages=phone.messages)}
    channels: dict[str, Channel] = {}
    egress = egress_of(settings)
    if settings.smtp_host:
        channels["email"] = SmtpChannel(
            SmtpConfig(
                settings.smtp_host,
                settings.smtp_port,
                settings.smtp_user,
                settings.smtp_password,
                settings.smtp_from,
                settings.smtp_tls,
                ca_bundle=settings.ca_bundle,
            )
        )
    if settings.ntfy_server:
        channels["ntfy"] = NtfyChannel(egress, settings.ntfy_server, settings.ntfy_token)
    if settings.webhook_secret:
        channels["webhook"] = WebhookChannel(egress, clock, settings.webhook_secret)
    if settings.slack_token:
        channels["slack"] = SlackChannel(egress, settings.slack_token, settings.slack_url)
    if settings.twilio_account:
        twilio = twilio_of(settings, secret)
        channels["sms"] = SmsChannel(egress, twilio)
        if not settings.twilio_from.startswith("MG"):
            channels["voice"] = VoiceChannel(egress, twilio)
    if settings.pagerduty_out:
        channels["pagerduty"] = PagerDutyChannel(egress, settings.pagerduty_url)
    if settings.apprise:
        channels["apprise"] = AppriseChannel()
    return channels


def addresses_of(settings: Settings) -> dict[str, str]:
    """Who is asked over HTTP here → the address that is set for it. Addresses of contacts are not among them."""
    if settings.demo:
        return {}
    known = {
        "ntfy": settings.ntfy_server,
        "slack": settings.slack_token and settings.slack_url,
        "twilio": settings.twilio_account and settings.twilio_url,
        "pagerduty": settings.pagerduty_url if settings.pagerduty_out else "",
        "the watchdog": settings.heartbeat_url,
    }
    return {name: address for name, address in known.items() if address}


def twilio_of(settings: Settings, secret: bytes) -> TwilioConfig:
    """Twilio's configuration; what comes back is asked for where a public URL is set. Raises :class:`Unusable`."""
    if not settings.twilio_token or not settings.twilio_from:
        raise Unusable("twilio_account is set; set twilio_token and twilio_from too", "twilio_token")
    replies = (
        f"{settings.public_url.rstrip('/')}/in/reply/{{kind}}/{reply_key(secret)}"
        if settings.public_url
        else ""
    )
    return TwilioConfig(
        settings.twilio_account, settings.twilio_token, settings.twilio_from, replies, settings.twilio_url
    )


def make_key(folder: Path) -> None:
    """Makes the installation's secret where there is none: 32 bytes in a file outside the database, for its owner's eyes alone."""
    path = folder / KEY_FILE
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))


def read_key(folder: Path) -> bytes:
    """The installation's secret; empty where there is no key file. Raises :class:`Unusable` for one that was cut off."""
    path = folder / KEY_FILE
    if not path.exists():
        return b""
    secret = path.read_bytes()
    if len(secret) < 32:
        raise Unusable(
            f"{path} is shorter than 32 bytes; restore it from the backup, or remove it to make a new one",
            "key file",
        )
    return secret


KEY_FILE = "tocsin.key"
KEY_MARK = "key"
KEY_BACK = (
    "put the right file there, from the backup or another of its machines; if it is lost, take a new one with"
    " tocsin migrate --new-key and make the integrations' keys anew"
)


def own_key(store: Store, secret: bytes, folder: str, *, new: bool = False) -> None:
    """Marks the database with a digest of its key; raises :class:`Refused` where it was marked with another. ``new``: takes this one.

    With another key no integration's key would open anything, and links that are out would lead nowhere.
    """
    if new or store.read(lambda r: r.meta(KEY_MARK)) is None:
        store.write(lambda tx: tx.put_meta(KEY_MARK, _mark(secret)))
    elif fault := key_fault(store, secret, folder):
        raise Refused(f"{fault}: integration keys, links and feeds would not open; {KEY_BACK}")


def key_fault(store: Store, secret: bytes, folder: str) -> str:
    """What keeps the key file from being this database's; empty where it is, or where the database was begun with none."""
    path = Path(folder) / KEY_FILE
    if not secret:
        return f"there is no {path}"
    known = store.read(lambda r: r.meta(KEY_MARK))
    if known is not None and bytes(known) != _mark(secret):
        return f"{path} is not the key that this database was begun with"
    return ""


def _mark(secret: bytes) -> bytes:
    return hashlib.sha256(b"tocsin key " + secret).hexdigest()[:32].encode()


def _own_database(store: Store, demo: bool) -> None:
    mark = store.read(lambda r: r.meta("demo"))
    used = store.read(lambda r: r.document("policy", "policy")) is not None
    if demo and used and mark is None:
        store.close()
        raise Refused(
            "this database is not a demonstration's; start the demonstration with a data folder of its own (--data DIR)"
        )
    if not demo and mark is not None:
        store.close()
        raise Refused("this database belongs to a demonstration; choose another data folder (--data DIR)")
    if demo and mark is None:
        store.write(lambda tx: tx.put_meta("demo", b"1"))


def _first_start(engine: Engine, store: Store, secret: bytes, settings: Settings) -> dict[str, str]:
    now, randomness = engine.clock.now(), engine.randomness
    notes: dict[str, str] = {}
    if store.read(lambda r: r.records("person")):
        return notes
    rows: list[RecordRow] = []
    if settings.demo:
        rows += to_records(demo_organisation(now), now)
        person, key = DEMO_PERSON, DEMO_KEY
        for one in (DEMO_PERSON, DEMO_OWNER):
            rows.append(RecordRow("password", one, "", hash_password(DEMO_PASSWORD).encode(), now))
        notes["password"] = DEMO_PASSWORD
    else:
        person, key = "owner", token(randomness, 192)
        rows.append(record_of(owner_person(), now))
        notes["sign_in"] = ""
    integration = Integration(ulid(randomness, now), "PagerDuty Events v2", "pagerduty", created_at=now)
    integration.sealed_key = seal(secret, key, f"integration/{integration.id}", randomness)
    rows.append(RecordRow("integration", integration.id, key_hash(key, secret), encode(integration), now))
    shown, stored = make_token(
        randomness, ulid(randomness, now), person, ("respond", "silence"), now, name="first start"
    )
    rows.append(RecordRow("token", stored.id, stored.hash, encode(stored), now))
    engine.put_records(rows)
    if "sign_in" in notes:
        notes["sign_in"] = sign_in_link(engine, person)
    return notes | {"person": person, "integration_key": key, "token": shown}


def sign_in_link(engine: Engine, person: str) -> str:
    """A link by which a person signs in once, within the hour. Raises :class:`Unusable` for a person nobody knows."""
    secret = token(engine.randomness)
    return f"{keep_link(engine, person, secret_id(secret))}/sign-in/{secret}"


def keep_link(engine: Engine, person: str, lookup: str) -> str:
    """Keeps a sign-in link whose secret has the hash ``lookup``; answers the address that it begins with."""
    known = engine.directory().people.get(person) or engine.directory().person_by_login(person)
    if known is None or not known.active:
        raise Unusable(f"there is no active person {person[:60]!r}", "person")
    if not re.fullmatch(r"[0-9a-f]{64}", lookup):
        raise Unusable("the hash of the link's secret is none", "lookup")
    now = engine.clock.now()
    made = SignInLink(lookup, known.id, now + SIGN_IN_LINK_LIFETIME)
    row = RecordRow("sign_in_link", made.id, made.id, encode(made), now, made.expires)
    engine.store.write(lambda tx: tx.put_record(row))
    return engine.public_url


def owner_person() -> Person:
    """The first account: it owns the installation and has no channel yet."""
    return Person("owner", "Owner", login="owner", role="owner")
