"""What a policy is seen to do, by asking the rest of the program: the measure for whether two policies behave the same.

Nothing here knows how policies are compared. Duties fall due, chains run, facts propose severities, messages are filled.
"""

from __future__ import annotations

import itertools

from tocsin.catalogue.people import Contact, Person
from tocsin.incidents.chasing import escalates_at, is_chased, next_chased, reminders
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import duties
from tocsin.incidents.duty import Duty
from tocsin.incidents.escalation import chain_of, next_step
from tocsin.incidents.incident import Incident, Run
from tocsin.kernel.clock import parse_instant
from tocsin.notify.rules import plan
from tocsin.policy.calendar import Duration
from tocsin.policy.model import AUDIENCES, OUTSIDE, SEVERITIES, Policy
from tocsin.policy.severity import propose

STARTS = [
    parse_instant(text)
    for text in (
        "2026-03-02T10:00:00Z", "2026-03-05T16:00:00Z", "2026-03-06T15:30:00Z", "2026-03-07T12:10:00Z", "2026-03-31T08:59:00Z",
        "2026-12-23T13:00:00Z",
    )
]  # fmt: skip
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
HOURS = Duration.parse("5h business")
NOBODY = Directory()
READER = Person("r", "R", contacts=(Contact("push", "ntfy", "t"), Contact("mail", "email", "m")))


def observed(policy: Policy) -> dict[str, object]:
    """Everything that is seen of it, by name, so that a failing test says what is different."""
    return {
        "duties": list(_duties(policy)),
        "chains": list(_chains(policy)),
        "told": list(_told(policy)),
        "chased": list(_chased(policy)),
        "proposed": [_proposed(policy, facts) for facts in FACTS],
        "messages": list(_messages(policy)),
        "gates": [
            (policy.post_mortem_for(name, kind), policy.validation_gates(name, kind))
            for name in SEVERITIES
            for kind in ("", *policy.types)
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
        "I", number=1, severity=name, severity_state=state, rule=rule, kind=kind, status="triggered", opened_at=start, acknowledge_from=start,
        respond_from=start, update_from=start, resolve_from=start, resolve_chase_from=start, confirmed_at=0 if state == "proposed" else start,
    )  # fmt: skip


def _duties(policy: Policy):
    for start, name in itertools.product(STARTS, SEVERITIES):
        forms = [("confirmed", "x"), ("proposed", "x")] + ([("proposed", "")] if name == "P2" else [])
        for state, rule in forms:
            for kind in ("", *sorted(policy.types)) if start == STARTS[0] and state == "confirmed" else ("",):
                incident = _incident(name, start, kind, state, rule)
                # a war room and notices are for Tocsin to keep; whom they tell is looked at below
                yield [
                    (one.rule, one.owner, one.due) for one in duties(incident, policy) if one.rule != "tell"
                ]
                incident.last_update_at = start + 60_000_000
                yield [one.due for one in duties(incident, policy) if one.rule == "update"]
    for name, kind in itertools.product(SEVERITIES, ("", *sorted(policy.types))):
        incident = _incident(name, STARTS[1], kind, "confirmed", "x")
        incident.resolved_at, incident.status = STARTS[1], "resolved"
        yield [
            (one.id.split(":")[1], one.owner, one.due)
            for one in duties(incident, policy)
            if one.rule == "post_mortem"
        ]
    for start, name in itertools.product(STARTS, ("immediate", "short_term", "long_term")):
        terms = policy.actions.category(name)
        yield policy.calendar().add(start, terms.within), policy.calendar().add(start, terms.status_every)
    yield (
        [policy.calendar().add(start, policy.governance.review_every) for start in STARTS],
        policy.governance.owner,
    )


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
        incident = _incident(name, STARTS[0], "", state, "x")
        told = [one.due for one in duties(incident, policy) if one.rule == "tell"]
        notice = policy.severities[name].notice
        if notice is None:
            yield None
            continue
        purpose = "notice" if notice.interrupts else "nudge"
        yield told, frozenset(notice.targets), [one.contact.id for one in plan(READER, name, purpose)]


def _chased(policy: Policy):
    for name in SEVERITIES:
        terms = policy.severities[name]
        business, digest = terms.hours == "business", terms.escalation.when_missed == "digest"
        owed: dict[str, Duty] = {}
        for kind in ("", *policy.types):
            incident = _incident(name, STARTS[0], kind, "confirmed", "x")
            over = _incident(name, STARTS[0], kind, "confirmed", "x")
            over.resolved_at, over.status = STARTS[0], "resolved"
            for one in (
                *duties(incident, policy),
                *(one for one in duties(over, policy) if one.rule == "post_mortem"),
            ):
                # the length of a post-mortem's steps is told by their due times; one of them stands for all
                owed.setdefault(one.rule, one)
        for rule, duty in sorted(owed.items()):
            if is_chased(duty, digest):
                yield rule, list(_looked_at(policy, duty, business, digest))
    for rule in ("action", "action_status", "policy_review"):
        far = Duty("d", rule, "x", STARTS[0], STARTS[0] + 400 * 24 * 3600 * 1_000_000, "")
        yield rule, list(_looked_at(policy, far, False, False))


def _looked_at(policy: Policy, duty: Duty, business: bool, digest: bool):
    terms, calendar = policy.chase(duty.rule), policy.calendar()
    # for a duty of no fixed length, whether a reminder comes at all is seen in a long one
    yield [one.at for one in reminders(duty, terms, calendar, business=business)]
    if duty.rule in ("resolve", "message", "post_mortem", "stand_up"):
        long = Duty(duty.id, duty.rule, duty.owner, duty.start, duty.start + 10**14, "")
        yield [one.at for one in reminders(long, terms, calendar, business=business)]
    if not digest:
        yield [next_chased(duty, terms, calendar, done, business=business) for done in range(3)]
        yield terms.escalate_to
    yield escalates_at(duty, terms, calendar, business=business, digest=digest)


def _proposed(policy: Policy, facts: dict[str, object]):
    proposal = propose(policy, facts)
    return proposal.severity, bool(proposal.rule), sorted(severity for _, severity in proposal.others)


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
            name: (frozenset(party.severities), frozenset(party.types) or frozenset(policy.types), party.through, party.within)
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
