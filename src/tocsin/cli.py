"""The command line: thin verbs. ``tocsin serve`` starts everything; the responder's verbs talk to a server."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sys
import threading
from difflib import get_close_matches
from typing import Any

import click
import httpx2
import structlog
import uvicorn

from tocsin import __version__
from tocsin import cli_govern as govern
from tocsin import cli_operations as operations
from tocsin import cli_responder as responder
from tocsin.app import DEMO_FACTOR, DEMO_KEY, DEMO_OWNER, DEMO_PASSWORD, DEMO_PERSON, Tocsin, build
from tocsin.cli_doctor import doctor
from tocsin.cli_drill import drill
from tocsin.cli_operations import storage
from tocsin.cli_policy import policy
from tocsin.drill.library import sendings
from tocsin.drill.rooms import DrillRooms
from tocsin.kernel.clock import SECOND
from tocsin.kernel.errors import TocsinError, Unusable, UnusableMany
from tocsin.kernel.logs import configure_log
from tocsin.kernel.redact import mask
from tocsin.memory import settle_memory
from tocsin.settings import Settings, load_settings, unknown_variables
from tocsin.web.protocol import MAX_CONNECTIONS, BoundedProtocol
from tocsin.web.server import build_app

log = structlog.get_logger("tocsin")

TIMEOUT = 30
LABEL = f"Demonstration: nothing here is real, and its clock runs {DEMO_FACTOR} times as fast as yours."


ALSO_CALLED = {
    "acknowledge": "ack", "incidents": "list", "ls": "list", "show": "timeline", "open": "declare", "close": "do", "who": "oncall",
    "on-call": "oncall", "start": "serve", "check": "doctor", "status": "doctor",
}  # fmt: skip
"""words that people try → the command that does it"""


class Commands(click.Group):
    """Says which command was probably meant by one that there is not."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = {name: name for name in self.list_commands(ctx)} | ALSO_CALLED
            said = args[0].lower()
            meant = known.get(said) or next((known[one] for one in get_close_matches(said, known, 1)), "")
            if not meant:
                raise
            raise click.UsageError(f"There is no command {args[0]!r}: try tocsin {meant}", ctx) from error


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=responder.ENVIRONMENT
)
@click.version_option(__version__, prog_name="tocsin")
def cli() -> None:
    """Tocsin: alerts come in, the right person is paged, the incident is run and resolved.

    \b
    Example:
      tocsin serve --demo
    """


def main() -> None:
    """The entry point: errors made on purpose are shown as their sentence, with exit code 2."""
    configure_log()
    try:
        cli(standalone_mode=True)
    except UnusableMany as error:
        click.echo(mask(error.sentence), err=True)
        sys.exit(2)
    except TocsinError as error:
        click.echo(f"tocsin: {mask(error.sentence)}", err=True)
        sys.exit(2)


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@storage
@click.option("--policy", help="Policy file that seeds an empty database.")
@click.option("--public-url", help="Address under which people reach Tocsin.")
@click.option("--demo", is_flag=True, default=None, help="A fictional organisation, no real channel.")
def serve(**flags: Any) -> None:
    """Web, API and engine in one process.

    \b
    Example:
      tocsin serve --data /var/lib/tocsin --public-url https://tocsin.example.com
    """
    if flags["demo"] and not flags["data"]:
        flags["data"] = "tocsin-demo-data"
    run(load_settings(flags, os.environ), "serve")


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@storage
@click.option("--public-url", help="Address under which people reach Tocsin.")
def web(**flags: Any) -> None:
    """Pages, API and intake alone, beside others on one PostgreSQL; a worker does the paging.

    \b
    Example:
      tocsin web --database-url postgresql://tocsin@db/tocsin --port 8081
    """
    run(load_settings(flags, os.environ), "web")


@cli.command()
@storage
@click.option("--public-url", help="Address under which people reach Tocsin.")
def worker(**flags: Any) -> None:
    """The engine alone, beside others on one PostgreSQL: clocks, escalations, deliveries.

    \b
    Example:
      tocsin worker --database-url postgresql://tocsin@db/tocsin
    """
    run(load_settings(flags, os.environ), "worker")


def run(settings: Settings, kind: str) -> None:
    """Runs one process until it is told to stop."""
    for said in unknown_variables(os.environ):
        log.warning(said)
    listener = None
    if kind != "worker":
        listener = listening(settings.host, settings.port)
        settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    try:
        tocsin = build(settings, kind)
    except BaseException:
        if listener is not None:
            listener.close()
        raise
    stop = threading.Event()
    # the thread that writes hands over to the one that listens many times for each commit: at the usual 5 ms it waits for nothing
    sys.setswitchinterval(0.0005)
    # uvicorn raises the signal again once it has stopped: without a handler the store would not be closed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        if kind != "web":
            tocsin.loop.start()
        elif tocsin.beater is not None:
            tocsin.beater.start()
        if tocsin.link_requests is not None:
            tocsin.link_requests.start()
        if kind == "worker":
            settle_memory(tocsin.engine.store.subscribe)
            click.echo(f"Tocsin {__version__} at work")
            sys.stdout.flush()
            threading.Event().wait()
        greet(tocsin)
        if settings.demo:
            threading.Thread(target=tell_story, args=(tocsin, stop), name="tocsin-story", daemon=True).start()
        app = build_app(
            tocsin.engine, phone=tocsin.phone if settings.demo else None, label=LABEL if settings.demo else "",
            trusted_proxies=[one.strip() for one in settings.trusted_proxies.split(",") if one.strip()], answers=tocsin.answers, rooms=DrillRooms(),
        )  # fmt: skip
        settle_memory(tocsin.engine.store.subscribe)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=3,
                http=BoundedProtocol,
                limit_concurrency=MAX_CONNECTIONS,
            )
        )
        server.run(sockets=[listener] if listener else None)
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        stop.set()
        tocsin.close()
        if listener is not None:
            listener.close()


def listening(host: str, port: int) -> socket.socket:
    """The socket to listen on, taken before anything is made or said; raises :class:`Unusable` where it cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise Unusable(
            f"{host!r} is no address to listen on ({error.strerror}); choose another with --host", "host"
        ) from None
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise Unusable(
            f"port {port} of {host} cannot be had: {why}; choose another with --port", "port"
        ) from None
    return taken


def greet(tocsin: Tocsin) -> None:
    """Says where to sign in, as whom, and how to send an alert."""
    notes, url = tocsin.notes, tocsin.settings.url
    click.echo(f"Tocsin {__version__} at {url}")
    if tocsin.settings.demo:
        click.echo(
            f"\nSign in at {url}/sign-in with the password {DEMO_PASSWORD}\n"
            f"  {DEMO_PERSON:<8}the person on call\n  {DEMO_OWNER:<8}an owner, who may change everything"
        )
        click.echo(f"Then open {url}/phone: each message as it arrives; acknowledge there.")
    elif "sign_in" in notes:
        click.echo(f"\nFirst sign-in (once, within the hour): {notes['sign_in']}")
        click.echo(f"API token: {notes['token']}\nEvents v2 routing key: {notes['integration_key']}")
        click.echo(
            f"\nFor tocsin list, tocsin ack and the others:\n  export TOCSIN_URL={url}\n  export TOCSIN_TOKEN={notes['token']}"
        )
    if tocsin.settings.demo or "integration_key" in notes:
        click.echo("\nSend an alert:\n  " + alert_command(url, notes.get("integration_key", DEMO_KEY)))
    sys.stdout.flush()


def alert_command(url: str, key: str) -> str:
    """A command that sends an alert, to be pasted into a shell. In the demonstration it pages who is on call for the service."""
    event = {
        "routing_key": key, "event_action": "trigger", "dedup_key": "database-unreachable",
        "payload": {
            "summary": "the primary database is unreachable", "source": "probe-1", "severity": "critical", "component": "database",
        },
    }  # fmt: skip
    return f"curl -s {url}/v2/enqueue -d '{json.dumps(event)}'"


def tell_story(tocsin: Tocsin, stop: threading.Event) -> None:
    """The demonstration's story, as the scenario ``demo`` tells it: what its senders send, at the demonstration's pace."""
    told = 0
    for at, path, event in sendings("demo"):
        if stop.wait((at - told) / SECOND / DEMO_FACTOR):
            return
        told = at
        local = f"http://{tocsin.settings.host}:{tocsin.settings.port}{path}"
        answer = httpx2.post(local, json={"routing_key": DEMO_KEY, **event}, timeout=TIMEOUT)
        click.echo(f"story: {event['payload']['summary']} → {answer.status_code}")


for command in (*responder.COMMANDS, *govern.COMMANDS):
    command.epilog = responder.ENVIRONMENT
for command in (*responder.COMMANDS, *operations.COMMANDS, *govern.COMMANDS, doctor, drill, policy):
    cli.add_command(command)

if __name__ == "__main__":
    main()
