"""What is wrong with this installation, a line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tocsin.engine import overview, sealing, watching
from tocsin.engine.engine import Engine, oldest_late
from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import DAY, MINUTE, Instant, humanize, to_iso
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import TocsinError
from tocsin.kernel.ports import Reader, Stuck
from tocsin.kernel.redact import mask
from tocsin.policy.model import Policy
from tocsin.policy.references import named_targets
from tocsin.policy.saying import words

AHEAD = 14 * DAY
"""how far ahead gaps in schedules are looked for"""
LATE = 2 * MINUTE
LOOPBACK = (
    "http://127.",
    "http://localhost",
    "http://[::1]",
    "https://127.",
    "https://localhost",
    "https://[::1]",
)
CHAINS = (("severities", "P1"), ("severities", "P2"), ("paging", "commander"))
"""parts of the policy whose names somebody waits for at night"""
OF_TEAMS = ("engineering_lead", "engineering_manager")
SCHEDULED = (
    "on_call",
    "secondary",
    "technical_lead",
    "incident_commander",
    "commander",
    "secondary_commander",
)
"""names that a schedule answers: where it is empty is looked at for two weeks, by itself"""
QUIET_CHANNELS = ("console",)
ORDER = (
    "database", "held", "key file", "data folder", "settings", "owners", "channels", "addresses", "public URL", "contacts", "on call", "teams", "commanders", "chain", "zones", "policy", "waking",
    "deliveries", "lateness", "set aside", "processes", "clock", "gap", "seal",
)  # fmt: skip
"""in which order things are mended: on a fresh installation, the order in which it is set up"""
LOOKED_THROUGH = 1000
"""open incidents that are tried to be read"""


class Finding(msgspec.Struct, frozen=True):
    """``level``: ok, warn, fail. ``about``: what was looked at; ``found`` and ``todo`` are sentences, the last one may be empty."""

    level: str
    about: str
    found: str
    todo: str = ""


def steps(findings: list[Finding]) -> list[str]:
    """What to do, in the order in which it helps; each thing once."""
    wanted = sorted((one for one in findings if one.level != "ok" and one.todo), key=_rank)
    return list(dict.fromkeys(one.todo for one in wanted))


def _rank(finding: Finding) -> int:
    return ORDER.index(finding.about) if finding.about in ORDER else len(ORDER)


def real_channels(engine: Engine) -> list[str]:
    """Channels that reach people; a demonstration has none."""
    return [] if any(name in QUIET_CHANNELS for name in engine.channels) else list(engine.channels)


def channel_findings(engine: Engine) -> list[Finding]:
    """Which channels there are, and whether the links in pages can work."""
    if engine.channels and not real_channels(engine):
        return [Finding("ok", "channels", "a demonstration: messages go to its own phone alone")]
    return public_url_findings(engine.public_url, real_channels(engine))


def public_url_findings(public_url: str, channels: list[str]) -> list[Finding]:
    """Whether the links in pages can work: a loopback address or plain http together with a real channel cannot be meant."""
    real = [name for name in channels if name not in QUIET_CHANNELS]
    if not real:
        return [
            Finding(
                "warn",
                "channels",
                "no channel to people is configured",
                "set up ntfy, Twilio or mail; see docs/integrations",
            )
        ]
    named = ", ".join(real)
    if public_url.startswith(LOOPBACK):
        return [
            Finding(
                "fail", "public URL", f"links in pages begin with {public_url}, which no telephone can open ({named} is configured)",
                "set TOCSIN_PUBLIC_URL to the address under which people reach this server",
            )
        ]  # fmt: skip
    if not public_url.startswith("https://"):
        return [
            Finding(
                "fail", "public URL", f"links in pages go over plain http ({named} is configured)",
                "put a proxy with a certificate in front and set TOCSIN_PUBLIC_URL to https://…",
            )
        ]  # fmt: skip
    return [Finding("ok", "public URL", f"links in pages begin with {public_url}")]


def people_findings(
    directory: Directory, reader: Reader, now: Instant, kinds: Collection[str]
) -> list[Finding]:
    """Whether an owner can sign in, whom a P1 would not wake, and where nobody is on call in the next two weeks.

    ``kinds``: of contacts that can be delivered to here.
    """
    found: list[Finding] = []
    owners = [one for one in directory.people.values() if one.role == "owner" and one.active]
    able = [one for one in owners if reader.record("password", one.id) is not None]
    if not able:
        found.append(
            Finding(
                "fail",
                "owners",
                "no owner has a password",
                f"sign in by the link of the first start, or by one that tocsin link {owners[0].id if owners else 'OWNER'} makes,"
                " and set a password under Account",
            )
        )
    else:
        found.append(Finding("ok", "owners", f"{len(able)} of {len(owners)} owners can sign in"))
    found += _set_up_findings(directory, kinds)
    asleep = {one.sentence for one in directory.untested_on_call(now, kinds)}
    found += [
        Finding("fail", "waking", one, "add a push, SMS or voice contact and page it as a test")
        for one in sorted(asleep)
    ]
    gaps = sorted(directory.gaps(now, now + AHEAD), key=lambda pair: pair[1].position != "primary")
    for schedule, gap in gaps[:10]:
        name = directory.schedules[schedule].name
        found.append(
            Finding(
                # somebody answers a page while the primary is there
                "fail" if gap.position == "primary" else "warn",
                "on call",
                f"nobody is {gap.position} of {name} from {to_iso(gap.start)} to {to_iso(gap.end)}",
                "add a rotation or an override",
            )
        )
    if directory.schedules and not [one for one in found if one.about in ("on call", "waking")]:
        found.append(
            Finding(
                "ok",
                "on call",
                f"{len(directory.schedules)} schedules are filled for two weeks; everybody on call can be woken",
            )
        )
    return found


def _set_up_findings(directory: Directory, kinds: Collection[str]) -> list[Finding]:
    """What a new installation still lacks before a page can reach anybody."""
    found: list[Finding] = []
    active = [one for one in directory.people.values() if one.active]
    if not any(contact.kind in kinds for one in active for contact in one.contacts):
        todo = "add the people who respond under People; each adds a contact and sends it a test page"
        found.append(Finding("fail", "contacts", "nobody has a contact that a page could be sent to", todo))
    if not directory.schedules:
        found.append(
            Finding(
                "fail", "on call", "there is no schedule: nobody is on call", "add a schedule under On call"
            )
        )
    if directory.default_team() is None:
        todo = "make a team under Services and give it the schedule"
        found.append(Finding("fail", "teams", "no team has a schedule: alerts would page nobody", todo))
    if directory.commander_schedule not in directory.schedules:
        found.append(
            Finding(
                "warn",
                "commanders",
                "no schedule of incident commanders is named: nobody is paged to take command",
                "name the schedule of incident commanders under On call",
            )
        )
    return found


def policy_findings(policy: Policy, directory: Directory, now: Instant) -> list[Finding]:
    """Whom the chains of P1 and P2 ask although there is nobody, and a zone that differs from that of the working hours."""
    found: list[Finding] = []
    lost: dict[str, str] = {}
    services = ("", *sorted(directory.services))
    for path, name, _ in named_targets(policy):
        if path[:2] not in CHAINS or name in SCHEDULED or name.startswith("schedule:") or name in lost:
            continue
        without = [
            one for one in services if not directory.resolve(name, now, service=one, to_page=True).people
        ]
        if len(without) == len(services):
            lost[name] = name
        elif any(without):
            lost[name] = f"{name} (for {_services(directory, without)})"
    if lost:
        found.append(
            Finding(
                "warn",
                "chain",
                f"steps of P1 and P2 mean nobody who can be paged: {', '.join(lost.values())}",
                _who_sets(lost),
            )
        )
    offices = policy.calendars[policy.default_calendar]
    if offices.zone != directory.settings.zone:
        found.append(
            Finding(
                "warn", "zones",
                f"the organisation is in the zone {directory.settings.zone}, the policy's working hours"
                f" ({policy.default_calendar}) are in {offices.zone}",
                "set the zone of the organisation under On call, or that of the calendar in the policy, and apply it",
            )
        )  # fmt: skip
    return found


def _services(directory: Directory, ids: Collection[str]) -> str:
    named = [directory.services[one].name for one in ids if one]
    return ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")


def _who_sets(lost: Collection[str]) -> str:
    """Where somebody is made what a step asks for."""
    of_teams = [words(one) for one in lost if one in OF_TEAMS]
    held = [one for one in lost if one not in OF_TEAMS and ":" not in one]
    todo = []
    if of_teams:
        todo.append(f"name the {' and the '.join(of_teams)} of each team under Services")
    if held:
        todo.append(f"give somebody {', '.join(held)} under People (In the company)")
    if len(of_teams) + len(held) < len(lost):
        todo.append("apply a policy that names somebody else")
    return "; ".join(todo)


def _policy(engine: Engine, reader: Reader, directory: Directory, now: Instant) -> list[Finding]:
    try:
        policy, _ = engine.policy_of(reader, "")
    except TocsinError as error:
        return [Finding("fail", "policy", f"the policy in force cannot be used: {error.sentence}")]
    found = policy_findings(policy, directory, now)
    # nobody works in the office of a demonstration
    return [one for one in found if one.about != "zones" or reader.meta("demo") is None]


def engine_findings(engine: Engine, reader: Reader, now: Instant) -> list[Finding]:
    """Lateness, what is held or set aside, processes that fell silent, steps of the clock, streams that went missing."""
    return [
        *_what_leaves(reader, now),
        *_who_was_there(reader, now),
        *_what_was_sealed(reader),
        *_what_is_set_aside(engine, reader),
    ]


def _what_leaves(reader: Reader, now: Instant) -> list[Finding]:
    """Lateness, what channels do not take, and whether this is a restored copy that lets nothing go."""
    stuck = reader.stuck()
    found = [_stuck(one, now) for one in stuck]
    timer, page = oldest_late(reader, now)
    running = any(
        row.kind != "web" and not row.stopped and now - row.at <= watching.STALE
        for row in watching.processes(reader)
    )
    for late, what in ((timer, "timer"), (page, "message")):
        if late is not None and now - late > LATE:
            todo = "is tocsin serve or tocsin worker running?"
            if running:
                todo = "it runs, and is behind: see its log"
            if what == "message" and stuck:
                todo = f"mend what keeps messages of {', '.join(dict.fromkeys(one.channel for one in stuck))} here"
            found.append(
                Finding("fail", "lateness", f"the oldest {what} is {humanize(now - late)} late", todo)
            )
    if not any(one.about == "lateness" for one in found):
        found.append(Finding("ok", "lateness", "nothing is late"))
    if reader.meta("held") is not None:
        found.append(
            Finding(
                "fail",
                "held",
                "this is a restored copy: no timer and no message leaves it",
                "tocsin restore --release, once the original is off",
            )
        )
    return found


def _stuck(stuck: Stuck, now: Instant) -> Finding:
    """What a channel does not take, in words."""
    several = stuck.messages != 1
    does = (
        f"page{'s' if several else ''} reached nobody"
        if stuck.lost
        else f"message{'s wait' if several else ' waits'}"
    )
    said = f"{stuck.channel}: {stuck.messages} {does} since {to_iso(stuck.since)}; the last error: {mask(stuck.error)[:300]}"
    todo = f"see that {stuck.channel} can be reached and takes what it is given; " + (
        "these are not tried again: look at their incidents"
        if stuck.lost
        else "they are tried again by themselves"
    )
    late = stuck.lost or now - stuck.since > LATE
    return Finding("fail" if late else "warn", "deliveries", said, todo)


def _who_was_there(reader: Reader, now: Instant) -> list[Finding]:
    """Processes that fell silent, clocks that were set, and time in which nobody listened."""
    found: list[Finding] = []
    rows = watching.processes(reader)
    for row in watching.silent(rows, now):
        found.append(
            Finding(
                "warn",
                "processes",
                f"{row.process} ({row.kind}) has given no sign of life since {to_iso(row.at)}",
                "restart it, or let it be if another took its place",
            )
        )
    for step in watching.clock_steps(reader)[:3]:
        found.append(
            Finding(
                "warn",
                "clock",
                f"the clock of {step.process} was set by {humanize(step.by)} at {to_iso(step.at)}",
                "let a time service run on that machine",
            )
        )
    deaf = reader.meta("deaf")
    if deaf is not None:
        gap = decode(deaf, watching.Deaf)
        if gap.end and now - gap.end < 7 * DAY:
            found.append(
                Finding(
                    "warn",
                    "gap",
                    f"nobody listened from {to_iso(gap.start)} to {to_iso(gap.end)}",
                    "see its incident",
                )
            )
    return found


def _what_was_sealed(reader: Reader) -> list[Finding]:
    """Streams that went missing since they were sealed, and when that was last."""
    found: list[Finding] = []
    lost = sealing.missing_streams(reader)
    if lost:
        found.append(
            Finding(
                "fail",
                "seal",
                f"{len(lost)} sealed streams are missing or shorter than sealed, {lost[0]} first",
                "restore a backup and look for who removed them",
            )
        )
    last = sealing.latest(reader)
    found.append(
        Finding("ok", "seal", f"the last seal is of {to_iso(last.at)}")
        if last
        else Finding("warn", "seal", "nothing is sealed yet", "the first seal is made when the engine runs")
    )
    return found


def _what_is_set_aside(engine: Engine, reader: Reader) -> list[Finding]:
    """Open incidents that cannot be read, and whatever else failed and is tried again."""
    found: list[Finding] = []
    for stream in reader.streams("incident", open=True, limit=LOOKED_THROUGH):
        if overview.readable(engine, reader, stream) is None:
            found.append(
                Finding(
                    "fail",
                    "set aside",
                    f"{stream.series}-{stream.number} cannot be read: {engine.poisoned.get(stream.stream.id, '')[:200]}",
                    "bring every process to the newest version; commands on it wait until then",
                )
            )
            engine.mended(stream.stream.id)
    for key, why in sorted(engine.poisoned.items())[:10]:
        found.append(Finding("fail", "set aside", f"{key}: {why[:200]}", "it is tried again; see the log"))
    return found


def examine(engine: Engine) -> list[Finding]:
    """Everything at once, the worst first."""
    now = engine.clock.now()
    directory = engine.directory()
    found = [Finding("fail", "database", fault) for fault in engine.store.check() if "held" not in fault]
    found = [
        msgspec.structs.replace(one, level="warn") if "WAL-reset" in one.found else one for one in found
    ] or [
        Finding(
            "ok", "database", f"{engine.store.dialect}: its schema is of this version, nothing is damaged"
        )
    ]
    found += channel_findings(engine)
    kinds = set(engine.channels)
    found += engine.store.read(
        lambda reader: (
            people_findings(directory, reader, now, kinds)
            + _policy(engine, reader, directory, now)
            + engine_findings(engine, reader, now)
        )
    )
    return worst_first(found)


def worst_first(findings: list[Finding]) -> list[Finding]:
    """Failures before warnings before what is well; within these in the order in which they are mended."""
    return sorted(findings, key=lambda one: (("fail", "warn", "ok").index(one.level), _rank(one)))
