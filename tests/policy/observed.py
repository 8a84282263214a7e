"""What a policy is seen to do, by asking the rest of the program: the measure for whether two policies behave the same.

Nothing here knows how policies are compared. Duties fall due, chains run, facts propose severities, messages are filled.
"""

from __future__ import annotations

import itertools

from tocsin.catalogue.people import Contact, Person
from tocsin.catalogue.services import Service, by_id
from tocsin.incidents import actions, plans, policies
from tocsin.incidents.chasing import escalates_at, is_chased, next_chased, reminders
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import duties
from tocsin.incidents.duty import Duty
from tocsin.incidents.escalation import chain_of, next_step
from tocsin.incidents.incident import Incident, Run
from tocsin.incidents.promises import messages
from tocsin.kernel.clock import parse_instant
from tocsin.notify.rules import plan
from tocsin.policy.calendar import Duration
from tocsin.policy.model import AUDIENCES, OUTSIDE, SEVERITIES, Policy
from tocsin.policy.severity import kind_of, propose

STARTS = [
    parse_instant(text)
    for text in (
        "2026-03-02T10:00:00Z", "2026-03-05T16:00:00Z", "2026-03-06T15:30:00Z", "2026-03-07T12:10:00Z", "2026-03-31T08:59:00Z",
        "2026-12-23T13:00:00Z",
    )
]  # fmt: skip
CHASED_STARTS = (STARTS[0], STARTS[1], STARTS[3])
FACTS = [
    {"summary": summary}
    for summary in (
        "full outage", "entire platform is unreachable", "everything is down", "database unreachable", "cannot connect to postgres",
        "customer data leaked", "breach of data", "payments down", "customers cannot pay", "all payments are failing", "login not working",
        "nobody can sign in", "phishing", "latency of 7 s", "errors at 12 %", "tenant acme: database slow", "sms provider failing",
        "performance degraded", "one feature is broken", "export broken", "cosmetic fault", "slow reports", "e-mails are delayed",
        "minor fault in an integration", "documentation", "small request", "edge case", "query tuning", "disk full",
    )
] + [
    {"subtype": "complete_outage"}, {"users_affected_percent": 90}, {"users_affected_percent": 91}, {"users_affected_percent": 95},
    {"component": "Database", "state": "down"}, {"component": "Database", "state": "down", "tenants": 1}, {"service": "orders-db", "state": "down"},
    {"service": "payments", "state": "down"}, {"service": "auth", "state": "down"}, {"component": "Authentication", "state": "down"},
    {"data_exposed": True}, {"subtype": "data_breach"}, {"security": True}, {"type": "security"}, {"latency_ms": 5001}, {"latency_ms": 5002},
    {"latency_ms": 6000}, {"error_rate_percent": 11}, {"error_rate_percent": 12}, {"error_rate_percent": 15}, {"label.latency_ms": "5000.5"},
    {"label.latency_ms": "6000"}, {"label.error_rate_percent": "10.5"}, {"label.error_rate_percent": "13"}, {"type": "integration", "state": "down"},
    {"state": "degraded"}, {"subtype": "partial_outage"}, {"subtype": "degraded_performance"}, {"label.tenant": "acme", "component": "Database"},
    {"component": "Third-party Integrations", "state": "down"}, {"component": "authentication", "state": "down"}, {"component": "third_party_integrations", "state": "down"},
]  # fmt: skip
FACTS += [
    {"summary": f"{one['summary']} and phishing"} if "summary" in one else {**one, "summary": "phishing"} for one in FACTS
]  # fmt: skip
SHARES = (0, 10, 50, 51, 52, 53, 100)
SERVICES = by_id(
    [
        *(Service(name, name.title()) for name in ("payments", "billing", "checkout", "orders")),
        *(
            Service(f"of {name}", f"The {name}", component=name)
            for name in (
                "Web Application", "api_services", "Authentication", "database", "Database", "File Storage", "Third-party Integrations",
            )
        ),
    ]
)  # fmt: skip
UNEQUAL = ("resolve", "message", "post_mortem", "stand_up", "validation", "action")
"""of no fixed length: whether a reminder comes at all is seen in a long one"""
HOURS = Duration.parse("5h business")
NOBODY = Directory()
READER = Person("r", "R", contacts=(Contact("push", "ntfy", "t"), Contact("mail", "email", "m")))


def observed(policy: Policy) -> dict[str, object]:
    """Everything that is seen of it, by name, so that a failing test says what is different."""
    begun = _begun(policy)
    return {
        "duties": list(_duties(policy)),
        "afterwards": list(_afterwards(policy)),
        "plans": list(_plans(policy, begun)),
        "parties": list(_parties_told(policy)),
        "chains": list(_chains(policy)),
        "told": list(_told(policy)),
        "chased": list(_chased(policy, begun)),
        "proposed": [_proposed(policy, facts) for facts in FACTS],
        "messages": list(_messages(policy)),
        "gates": [
            (policy.post_mortem_for(name, kind), policy.validation_gates(name, kind))
            for name in SEVERITIES
            for kind in sorted(policy.types)
        ],
        "working time": [
            policy.calendar(name).add(start, HOURS) for name in ("", "office", "other") for start in STARTS
        ],
        "figures": _figures(policy),
        "outside": _outside(policy),
        "people": _people(policy),
    }


def _incident(name: str, start: int, kind: str, state: str, rule: str) -> Incident:
    return Incident(
        "I", number=1, severity=name, severity_state=state, rule=rule, kind=kind, status="investigating", opened_at=start, acknowledge_from=start,
        respond_from=start, update_from=start, resolve_from=start, resolve_chase_from=start, confirmed_at=0 if state == "proposed" else start,
        kinds=[(start, kind, "")], severities=[(start, name)],
    )  # fmt: skip


def _duties(policy: Policy):
    plain = min(policy.types)
    for start, name in itertools.product(STARTS, SEVERITIES):
        forms = [("confirmed", "x"), ("proposed", "x")] + ([("proposed", "")] if name == "P2" else [])
        for state, rule in forms:
            for kind in sorted(policy.types) if start == STARTS[0] and state == "confirmed" else (plain,):
                incident = _incident(name, start, kind, state, rule)
                # a war room and notices are for Tocsin to keep; whom they tell is looked at below
                yield [
                    (one.rule, one.owner, one.due)
                    for one in duties(incident, policy)
                    if one.rule not in ("tell", "message")
                ]
                yield sorted(
                    (one.id, one.owner, one.due) for one in duties(incident, policy) if one.rule == "message"
                )
                incident.last_update_at = start + 60_000_000
                yield [one.due for one in duties(incident, policy) if one.rule == "update"]
    for name, kind in itertools.product(SEVERITIES, sorted(policy.types)):
        incident = _incident(name, STARTS[1], kind, "confirmed", "x")
        incident.resolved_at, incident.status = STARTS[1], "resolved"
        yield [
            (one.id.split(":")[1], one.owner, one.due)
            for one in duties(incident, policy)
            if one.rule == "post_mortem"
        ]


def _parties_told(policy: Policy):
    """Who outside is owed a message, by type, subtype and the share of users affected."""
    for name, (kind, terms) in itertools.product(SEVERITIES, sorted(policy.types.items())):
        for subtype, share in itertools.product(("", *sorted(terms.subtypes)), SHARES):
            incident = _incident(name, STARTS[0], kind, "confirmed", "x")
            incident.kinds, incident.shares = [(STARTS[0], kind, subtype)], [(STARTS[0], share)]
            yield sorted((one.id, one.owner, one.due) for one in messages(incident, policy))


def _items(policy: Policy, start: int):
    """Action items of each category, open and done; what they owe is chased in business hours."""
    for category in ("immediate", "short_term", "long_term"):
        due = policy.calendar().add(start, policy.actions.category(category).within)
        yield actions.ActionItem("A", category=category, owner="x", opened_at=start, due=due)
        yield actions.ActionItem(
            "A", category=category, owner="x", opened_at=start, due=due, status="done", done_at=start
        )


def _afterwards(policy: Policy):
    for start in STARTS:
        for item in _items(policy, start):
            yield [(one.rule, one.owner, one.due) for one in actions.duties(item, policy) if not one.met_at]
        record = policies.PolicyRecord("policy", applied_at=start)
        yield [(one.owner, one.due) for one in policies.duties(record, policy)]


def _begun(policy: Policy) -> dict[str, list[tuple[str, str]]]:
    """Plan of continuity → every severity with every service or subtype that begins it; none that nothing begins."""
    named = sorted((policy.continuity.plans if policy.continuity else {}).items())
    return {name: why for name, plan in named if (why := list(_begins(policy, plan)))}


def _plans(policy: Policy, begun):
    """Steps of recovery for each severity and type; what begins each plan of continuity, and its steps; who hears of it."""
    for name, kind in itertools.product(SEVERITIES, sorted(policy.types)):
        incident = _incident(name, STARTS[0], kind, "confirmed", "x")
        yield (
            kind, plans.has_recovery(incident, policy), _parts(plans.recovery(incident, policy)),
            [one.id for one in plans.open_data_steps(incident, policy)],
        )  # fmt: skip
    yield begun
    for kind in sorted(policy.types):
        incident = _incident("P1", STARTS[0], kind, "confirmed", "x")
        incident.plans = dict.fromkeys(begun, STARTS[0])
        yield {name: _parts(steps) for name, steps in plans.continuity(incident, policy).items()}
    for start, once in itertools.product(STARTS, (False, True)):
        incident = _running(policy, "P1", start, begun, once)
        yield {
            one.id.split(":")[1]: (one.owner, one.due)
            for one in duties(incident, policy)
            if one.rule == "continuity"
        }
    if begun and policy.continuity:
        yield {name: (one.about, frozenset(one.met_by)) for name, one in policy.continuity.hearing.items()}


def _running(policy: Policy, name: str, start: int, begun, heard: bool) -> Incident:
    """An incident with plans of continuity, of which everybody has heard or nobody yet."""
    incident = _incident(name, start, min(policy.types), "confirmed", "x")
    incident.plans = dict.fromkeys(begun, start)
    if heard and policy.continuity:
        incident.heard = dict.fromkeys(policy.continuity.hearing, start + 60_000_000)
    return incident


def _parts(steps):
    return [(one.id, one.part, one.owner, one.text) for one in steps]


def _begins(policy: Policy, plan):
    subtypes = {subtype for terms in policy.types.values() for subtype in terms.subtypes}
    for name in SEVERITIES:
        incident = _incident(name, STARTS[0], min(policy.types), "confirmed", "x")
        for service in SERVICES:
            incident.services = [service]
            if plans.begins(plan, incident, SERVICES, policy):
                yield name, service
        incident.services = []
        for incident.subtype in sorted(subtypes):
            if plans.begins(plan, incident, SERVICES, policy):
                yield name, incident.subtype


def _chains(policy: Policy):
    for name in SEVERITIES:
        kinds = ["responders"] + (["commander"] if name in policy.paging.commander.severities else [])
        for start, kind in itertools.product(STARTS[:4], kinds):
            run = Run("r", kind, "", name, "", start, start, "")
            chain, calendar = chain_of(run, policy, NOBODY), policy.calendar()
            waits = policy.severity(name).escalation.hours == "business"
            for _ in range(10):
                due = next_step(run, chain, calendar)
                if due is None:
                    yield None
                    break
                yield (
                    kind,
                    due.at,
                    frozenset(due.targets),
                    due.quiet,
                    calendar.in_hours(due.at) if waits else due.at,
                )
                run.next, run.round, run.last_step_at = due.step + 1, due.round, due.at


def _told(policy: Policy):
    for name, state in itertools.product(SEVERITIES, ("confirmed", "proposed")):
        incident = _incident(name, STARTS[0], min(policy.types), state, "x")
        told = [one.due for one in duties(incident, policy) if one.rule == "tell"]
        notice = policy.severities[name].notice
        if notice is None:
            yield None
            continue
        purpose = "notice" if notice.interrupts else "nudge"
        yield told, frozenset(notice.targets), [one.contact.id for one in plan(READER, name, purpose)]


def _owed(policy: Policy, name: str, start: int):
    """Every duty that an incident of that severity may owe: one of each kind, of updates the first and a later one."""
    alike = {
        (
            policy.post_mortem_for(name, kind), policy.validation_gates(name, kind),
            *(not one.types or kind in one.types for one in policy.outside.parties.values()),
        ): kind
        for kind in sorted(policy.types)
    }  # fmt: skip
    found: dict[str, Duty] = {}
    for kind in alike.values():
        running, later, over = (_incident(name, start, kind, "confirmed", "x") for _ in range(3))
        running.shares = [(start, 100)]
        later.last_update_at = start + 60_000_000
        over.resolved_at, over.status = start, "resolved"
        for one in duties(running, policy):
            found.setdefault(one.rule, one)
        for one in duties(later, policy):
            if one.rule == "update":
                found.setdefault("later update", one)
        for one in duties(over, policy):
            # the length of a post-mortem's steps is told by their due times; one of them stands for all
            if one.rule == "post_mortem":
                found.setdefault(one.rule, one)
    return [duty for _, duty in sorted(found.items())]


def _chased(policy: Policy, begun):
    for name, start in itertools.product(SEVERITIES, CHASED_STARTS):
        terms = policy.severities[name]
        business, digest = terms.hours == "business", terms.escalation.when_missed == "digest"
        for duty in _owed(policy, name, start):
            if is_chased(duty, digest):
                yield name, duty.rule, list(_looked_at(policy, duty, business, digest))
        for heard in (False, True):
            yield {
                one.id: list(_looked_at(policy, one, business, digest))
                for one in duties(_running(policy, name, start, begun, heard), policy)
                if one.rule == "continuity"
            }
    for start in CHASED_STARTS:
        for item in _items(policy, start):
            for one in actions.duties(item, policy):
                if not one.met_at:
                    yield one.rule, list(_looked_at(policy, one, True, False))
        for one in policies.duties(policies.PolicyRecord("policy", applied_at=start), policy):
            yield one.rule, list(_looked_at(policy, one, True, False))


def _looked_at(policy: Policy, duty: Duty, business: bool, digest: bool):
    terms, calendar = policy.chase(duty.rule), policy.calendar()
    # several reminders at one moment are one message
    yield sorted({one.at for one in reminders(duty, terms, calendar, business=business)})
    if duty.rule in UNEQUAL:
        length = 10**14
        half = length // 2 if duty.rule == "validation" else 0
        far = Duty(
            duty.id, duty.rule, duty.owner, duty.start, duty.start + length, "", chase_from=duty.start + half
        )
        yield sorted({one.at for one in reminders(far, terms, calendar, business=business)})
    if digest:
        yield [policy.severities[name].escalation.digest_to for name in SEVERITIES]
    else:
        yield [next_chased(duty, terms, calendar, done, business=business) for done in range(3)]
        # when no incident is open, the engineering manager stands for its roles
        after = (
            duty.rule in ("action", "action_status", "action_verification")
            and terms.escalate_to in policy.roles
        )
        yield "engineering_manager" if after else terms.escalate_to
    yield escalates_at(duty, terms, calendar, business=business, digest=digest)


def _proposed(policy: Policy, facts: dict[str, object]):
    proposal = propose(policy, facts)
    kind = kind_of(policy, facts, proposal)
    return (
        proposal.severity, bool(proposal.rule), sorted(severity for _, severity in proposal.others),
        kind.name, kind.restricted,
    )  # fmt: skip


def _messages(policy: Policy):
    for template, audience in itertools.product(
        ("first_notice", "progress_update", "resolution_notice"), AUDIENCES
    ):
        wording = getattr(policy.templates, template).wording(audience)
        for known in (False, True):
            text = f"{wording.subject}\n{wording.text}"
            for name in wording.blanks:
                blank = policy.blanks[name]
                always = blank.outside_always if audience in OUTSIDE else None
                value = always or (f"<{name}>" if known else blank.fallback(audience))
                text = text.replace(f"{{{{ {name} }}}}", value).replace(f"{{{{{name}}}}}", value)
            yield text


def _figures(policy: Policy):
    alerts, ends = policy.alerts, policy.self_resolve
    return (
        [
            alerts.expire_after, alerts.group_window, alerts.group_at_most, alerts.flapping_hold, alerts.watch_after_resolved, ends.clear_for,
            ends.reopen_within, policy.paging.page_each_person_at_most_every, policy.paging.link_lives_after_resolved,
        ],
        frozenset(ends.severities), next(iter(policy.types)),
        {name: (terms.pausable, terms.activate_team) for name, terms in policy.severities.items()},
    )  # fmt: skip


def _outside(policy: Policy):
    outside = policy.outside
    mail = outside.customer_mail
    return (
        frozenset(outside.components), frozenset(mail.severities), mail.severities and mail.above_percent_of_users, frozenset(mail.at_any_share),
        mail.major_changes_only, frozenset(outside.in_app.banner), frozenset(outside.in_app.modal), outside.in_app.degraded_message,
        {name: (terms.approves, terms.sends) for name, terms in outside.approval.items()},
        {
            name: (
                frozenset(party.severities), frozenset(party.types) or frozenset(policy.types), party.through, party.within, party.major_only,
            )
            for name, party in outside.parties.items()
        },
    )  # fmt: skip


def _people(policy: Policy):
    return (
        {
            name: (
                frozenset(terms.subtypes), terms.judged_by, terms.restricted, terms.restricted and frozenset(terms.members), terms.self_resolves,
            )
            for name, terms in policy.types.items()
        },
        {name: (role.authority, role.source, role.standby, frozenset(role.may_escalate_to)) for name, role in policy.roles.items()},
        {name: (channel.primary, channel.restricted, frozenset(channel.for_types)) for name, channel in policy.channels.items()},
        policy.post_mortem.sections, [frozenset(getattr(policy.post_mortem, key)) for key in ("required", "required_when_users_saw", "optional")],
        [frozenset(getattr(policy.causes, key)) for key in ("technical", "process", "external")],
    )  # fmt: skip
