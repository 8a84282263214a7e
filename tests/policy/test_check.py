"""The checker: what can be read and still cannot be kept, each planted in the default policy and found at its lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from tocsin.policy.check import ERROR, WARNING, Finding, Places, check
from tocsin.policy.load import default_policy, default_policy_text, load_policy

TEXT = default_policy_text()


def planted(*changes: tuple[str, str]) -> str:
    """The default policy with some passages in other words; each must stand in it."""
    text = TEXT
    for right, wrong in changes:
        assert right in text, f"the default policy has changed, choose another place than {right!r}"
        text = text.replace(right, wrong, 1)
    return text


def findings(*changes: tuple[str, str]) -> list[Finding]:
    return check(load_policy(planted(*changes)))


def rule(name: str, severity: str, condition: str) -> str:
    return f"  - name: {name}\n    severity: {severity}\n    when: {condition}\n"


class Case(NamedTuple):
    """``line`` and ``other``: words on the lines that the finding names; ``other`` empty: it names one place only."""

    rule: str
    changes: tuple[tuple[str, str], ...]
    severity: str
    line: str
    other: str = ""


FIRST = "  - name: full outage\n"
LAST = "  - name: tuning or cosmetic improvement\n"
CRITICAL = (
    "full outage",
    "database unreachable",
    "security breach with exposure of data",
    "payments down",
    "authentication down",
)
SLOW = "{fact: label.speed, equals: slow}"


def in_severity(name: str, right: str, wrong: str) -> tuple[str, str]:
    """A change within one severity: the passage from its heading to ``right``."""
    start = TEXT.index(f"\n  {name}:")
    end = TEXT.index(right, start) + len(right)
    passage = TEXT[start:end]
    return passage, passage[: -len(right)] + wrong


P1_POST_MORTEM = in_severity("P1", "    post_mortem: required\n", "    post_mortem: optional\n")
P2_NOTICE = "    notice:\n      targets: [engineering_lead]\n      when: opened\n"
DEFAULT_CHASE = "  default:\n    remind_at_percent: [80]\n"
CHASE_RESPOND = "  respond:\n    remind_at_percent: [50, 80]\n"
CUSTOMERS = 'subject: "Service notice {{ id }}: {{ title }}"\n        text: |\n'

PROMISES = [
    Case("acknowledge_after_respond", (("acknowledge: 30m", "acknowledge: 90m"),), ERROR, "acknowledge: 90m", "respond: 1h"),
    Case("respond_after_resolve", (("respond: 15m ", "respond: 5h  "),), ERROR, "respond: 5h", "resolve: 4h"),
    Case("clock_can_stand_still", (in_severity("P2", "pausable: false", "pausable: true"),), ERROR, "pausable: true", "respond: 1h"),
    Case("slower_while_unsure", (("acknowledge_while_proposed: 5m", "acknowledge_while_proposed: 7m"),), ERROR, "while_proposed: 7m", "acknowledge: 5m"),
    Case("more_severe_but_slower", (("    update: 15m ", "    update: 3h  "),), WARNING, "update: 3h", "update: 1h"),
    Case("more_severe_but_less", (in_severity("P2", "war_room: false", "war_room: true"), ("war_room: true ", "war_room: false ")), WARNING, "war_room: false", "war_room: true"),
    Case("more_severe_but_less", (in_severity("P3", "post_mortem: optional", "post_mortem: none"), in_severity("P4", "post_mortem: none", "post_mortem: optional")), WARNING, "post_mortem: none", "post_mortem: optional"),
]  # fmt: skip

PAGING = [
    Case("no_steps", (("      steps:\n        - {after: 0m, targets: [on_call], quiet: true}\n", "      steps: []\n"),), ERROR, "escalation:"),
    Case("no_steps", (("    steps:\n      - {after: 0m, targets: [incident_commander]}\n      - {after: 5m, targets: [secondary_commander]}\n", "    steps: []\n"),), ERROR, "commander:", "steps: []"),
    Case("no_way_to_a_person", (*tuple((f"- {{after: {one}}}", f"- {{after: {one}, quiet: true}}") for one in ("1h business, targets: [engineering_lead]", "2h business, targets: [engineering_manager]")), in_severity("P3", "- {after: 0m, targets: [on_call]}", "- {after: 0m, targets: [on_call], quiet: true}")), ERROR, "steps:"),
    Case("goes_quiet", (("      repeat_every: 30m\n", ""),), ERROR, "escalation:"),
    Case("nobody_at_once", (("{after: 0m, targets: [on_call]}", "{after: 1m, targets: [on_call]}"),), WARNING, "after: 1m"),
    Case("asleep", (("      repeat_every: 30m\n", "      repeat_every: 30m\n      hours: business\n"),), ERROR, "hours: business"),
    Case("missed_and_left_lying", (("      repeat_every: 30m\n", "      repeat_every: 30m\n      when_missed: digest\n      digest_to: cto\n"),), ERROR, "when_missed: digest"),
    Case("delays_not_increasing", (("{after: 5m, targets: [engineering_lead]}", "{after: 2m, targets: [engineering_lead]}"),), ERROR, "{after: 2m, targets: [engineering_lead]}", "{after: 2m, targets: [on_call, secondary]}"),
    Case("step_without_effect", (("{after: 2m, targets: [on_call, secondary]}", "{after: 2m, targets: [on_call]}"),), WARNING, "{after: 2m", "{after: 0m"),
    Case("step_unreachable", (("{after: 20m, targets: [ceo]}", "{after: 5h, targets: [ceo]}"),), ERROR, "{after: 5h", "resolve: 4h"),
    Case("step_unreachable", (("{after: 5m, targets: [secondary_commander]}", "{after: 2 weeks, targets: [secondary_commander]}"),), ERROR, "2 weeks", "resolve: 4h"),
    Case("paged_too_late", (("{after: 0m, targets: [on_call]}\n        - {after: 2m, targets: [on_call, secondary]}", "{after: 9m, targets: [on_call]}\n        - {after: 9m, targets: [on_call, secondary]}"),), ERROR, "{after: 9m", "acknowledge: 5m"),
    Case("paged_too_late", (("- {after: 0m, targets: [incident_commander]}", "- {after: 20m, targets: [incident_commander]}"),), ERROR, "after: 20m", "respond: 15m"),
    Case("repeat_never_comes", (("repeat_every: 10m    ", "repeat_every: 4h     "),), WARNING, "repeat_every: 4h", "resolve: 4h"),
    Case("repeat_never_comes", (("    repeat_every: 10m\n  page_each", "    repeat_every: 4h\n  page_each"),), WARNING, "repeat_every: 4h", "resolve: 4h"),
    Case("no_commander_paged", (("    severities: [P1, P2]\n    steps:", "    severities: [P1]\n    steps:"),), ERROR, "severities: [P1]", "respond: 1h"),
    Case("page_held_too_long", (("most_every: 60s", "most_every: 10m"),), ERROR, "most_every: 10m", "acknowledge: 5m"),
    Case("nobody_told", ((P2_NOTICE, ""),), ERROR, "P2:"),
    Case("leadership_not_told", (("      targets: [cto, ceo]\n", "      targets: [cto]\n"),), ERROR, "targets: [cto]"),
    Case("notice_tells_nobody", ((P2_NOTICE, P2_NOTICE.replace("engineering_lead", "on_call")),), WARNING, "targets: [on_call]", "{after: 0m"),
    Case("told_only_when_confirmed", (("      while_proposed_after: 5m", "      #"),), WARNING, "when: confirmed"),
    Case("notice_interrupts", (("      interrupts: false ", "      interrupts: true "),), WARNING, "interrupts: true", "hours: business"),
]  # fmt: skip

CHASING = [
    Case("reminder_before_start", ((CHASE_RESPOND, "  respond:\n    remind_before: [30m]\n"),), ERROR, "remind_before: [30m]", "respond: 15m"),
    Case("reminder_before_start", (("    remind_before: [2d]\n", "    remind_before: [2 weeks]\n"),), ERROR, "remind_before: [2 weeks]", "within: 1 week"),
    Case("reminder_before_start", ((DEFAULT_CHASE, DEFAULT_CHASE + "    remind_before: [1d]\n"),), ERROR, "remind_before: [1d]", "within: 4h"),
    Case("reminder_never_sent", (("    remind_before: [2d]\n", "    remind_before: [2 business days]\n"),), ERROR, "2 business days"),
    Case("never_chased", (("    chase_every: 5m\n", ""),), WARNING, "update:"),
    Case("never_escalated", (("    escalate_after: 10m\n    escalate_to: incident_commander\n", ""),), WARNING, "update:"),
    Case("escalates_to_its_owner", (("    escalate_after: 15m\n    escalate_to: engineering_manager\n", "    escalate_after: 15m\n    escalate_to: incident_commander\n"),), WARNING, "escalate_to: incident_commander"),
    Case("escalates_to_its_owner", (("    escalate_after: 2 weeks\n    escalate_to: ceo\n", "    escalate_after: 2 weeks\n    escalate_to: cto\n"),), WARNING, "escalate_to: cto"),
]  # fmt: skip

RULES = [
    Case("rules_contradict", ((LAST, rule("one", "P2", SLOW) + rule("other", "P4", SLOW) + LAST),), ERROR, "name: other", "name: one"),
    Case("rules_contradict", ((LAST, rule("one", "P2", "{any: [{fact: tenants, above: 9}, {any: [{fact: label.speed, one_of: [slow]}]}]}")
        + rule("other", "P4", f"{{any: [{SLOW}, {{fact: tenants, at_least: 10}}]}}") + LAST),), ERROR, "name: other", "name: one"),
    Case("rule_shadowed", ((FIRST, rule("wide", "P1", f"{{any: [{SLOW}, {{fact: tenants, above: 9}}]}}") + rule("narrow", "P3", SLOW) + FIRST),), WARNING, "name: narrow", "name: wide"),
    Case("rule_shadowed", ((LAST, rule("worse", "P2", "{fact: latency_ms, above: 9000}") + LAST),), WARNING, "name: worse", "name: API latency"),
    Case("rule_never_fires", ((LAST, rule("never", "P2", "{all: [{fact: state, equals: down}, {fact: state, equals: degraded}]}") + LAST),), ERROR, "when: {all"),
    Case("rule_never_fires", ((LAST, rule("never", "P2", "{all: [{fact: tenants, above: 5}, {fact: tenants, below: 3}]}") + LAST),), ERROR, "when: {all"),
    Case("never_proposed", (("rules:\n", "rules: #\n"), *((f"  - name: {one}\n    severity: P1", f"  - name: {one}\n    severity: P2") for one in CRITICAL)), WARNING, "rules:"),
]  # fmt: skip

WORDS = [
    Case("blank_nothing_fills", (("blanks:\n", "blanks:\n  weather: {meaning: the weather, inside: fine, outside: fine}\n"), ("Impact: {{ impact }}", "Impact: {{ impact }} {{ weather }}")), ERROR, "everybody:", "weather:"),
    Case("message_lacks", (("        Impact: {{ impact }}\n", ""),), WARNING, "text: |"),
    Case("fallback_has_a_blank", (("workaround: {meaning: what users can do meanwhile, inside: none known", "workaround: {meaning: what users can do meanwhile, inside: '{{ eta }}'"),), ERROR, "workaround:"),
    Case("one_primary_channel", (("    primary: true\n", ""),), ERROR, "channels:"),
    Case("one_primary_channel", (("    purpose: what leadership must know\n", "    purpose: what leadership must know\n    primary: true\n"),), ERROR, "channels:", "primary: true"),
    Case("security_in_the_open", (("    restricted: true                            # opens", "    # opens"),), ERROR, "security:"),
    Case("restricted_without_members", (("    members: [security, cto]\n", ""),), ERROR, "security:", "restricted: true"),
    Case("restricted_in_the_open", (("    for_types: [security]\n    restricted: true\n", "    for_types: [security]\n"),), ERROR, "security_incidents:", "restricted: true"),
    Case("nothing_can_be_sent", (("    partners: {approves: communication_lead, sends: communication_lead}\n", ""),), ERROR, "partners: {name", "approval:"),
    Case("nothing_can_be_sent", (("    customer_mail: {approves: communication_lead, sends: communication_lead}\n", ""),), ERROR, "customer_mail:", "approval:"),
    Case("party_never_told", (("investors: {name: Investors, severities: [P1]", "investors: {name: Investors, severities: []"),), WARNING, "investors:"),
    Case("stand_up_out_of_hours", (('at: ["09:30"]', 'at: ["20:30"]'),), WARNING, '"20:30"', "hours:"),
    Case("group_window_too_long", (("group_window: 30m", "group_window: 48h"),), ERROR, "group_window", "group_at_most"),
    Case("modal_without_banner", (("    banner: [P1, P2, P3]\n    modal: [P1]", "    banner: []\n    modal: [P1]"),), WARNING, "modal:", "banner:"),
]  # fmt: skip

EVIDENCE = "{id: keep_evidence, phase: stop_damage"
CUSTOMERS_HEAR = (
    "through: communication_lead, within: 1h, every: 4h, met_by: [status_page, customer_mail, in_app]"
)
BREACH = "    type: security                              # so that"
HEARD = TEXT[TEXT.index("  hearing:  ") : TEXT.index("# ----", TEXT.index("  hearing:  "))]

PLANS = [
    Case("plan_never_begins", (("  severities: [P1, P2]\n  types: [security, data] ", "  severities: []\n  types: [] "),), ERROR, "severities: []"),
    Case("plan_never_begins", (("    data_access:                                # [BCP-3]\n", "    data_access:\n      severities: []\n"),), ERROR, "severities: []"),
    Case("validated_without_a_plan", (("  severities: [P1, P2]\n  types: [security, data] ", "  severities: [P1]\n  types: [security, data] "),), ERROR, "validate_before: resolved", "severities: [P1]"),
    Case("validated_without_a_plan", (("  types: [security, data] ", "  types: [security] "),), ERROR, "validate_before: resolved", "types: [security]"),
    Case("validated_without_a_plan", ((TEXT[TEXT.index("recovery:\n") : TEXT.index("continuity:\n", TEXT.index("recovery:\n"))], ""),), ERROR, "validate_before: resolved"),
    Case("phase_without_a_step", tuple((f"phase: data_recovery, owner: technical_lead, types: [data], text: {one}", f"phase: data_recovery, owner: technical_lead, types: [security], text: {one}") for one in ("assess", "restore", "validate", "reconcile")), ERROR, "steps:", "data:"),
    Case("phase_without_a_step", (("id: isolate, phase: stop_damage, owner", "id: isolate, phase: stop_damage, types: [data], owner"), (f"{EVIDENCE}, owner", f"{EVIDENCE}, types: [security], owner")), WARNING, "steps:", "availability:"),
    Case("step_for_no_incident", (("  severities: [P1, P2]\n  types: [security, data] ", "  severities: []\n  types: [data] "),), WARNING, "id: block_traffic", "types: [data]"),
    Case("step_for_no_incident", (("      services: [payments, billing, checkout]\n", ""), ("{id: record_by_hand, strand: manual, owner", "{id: record_by_hand, strand: manual, types: [data], owner")), WARNING, "id: record_by_hand", "subtypes: [payment_gateway]"),
    Case("steps_out_of_order", ((EVIDENCE, EVIDENCE.replace("stop_damage", "service_recovery")),), WARNING, "id: backup_systems", "id: keep_evidence"),
    Case("upside_down", (("  severities: [P1, P2]\n  types: [security, data] ", "  severities: [P2]\n  types: [security, data] "),), ERROR, "severities: [P2]"),
    Case("upside_down", (("    data_access:                                # [BCP-3]\n", "    data_access:\n      severities: [P2]\n"),), ERROR, "severities: [P2]"),
    Case("keeps_nothing_going", (("{id: read_only, strand: fallback", "{id: read_only, strand: communication"), ("{id: backed_up_data, strand: fallback", "{id: backed_up_data, strand: communication"), ("{id: mobile_offline, strand: manual", "{id: mobile_offline, strand: reconciliation")), WARNING, "steps:"),
    Case("nobody_hears", ((HEARD, ""),), WARNING, "continuity:", "plans:"),
    Case("hears_of_nothing", ((TEXT[TEXT.index("  plans:\n    authentication:") : TEXT.index("  hearing:  ")], "  plans: {}\n"),), WARNING, "hearing:", "plans: {}"),
    Case("hears_first_too_late", ((CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("within: 1h, every: 4h", "within: 3h, every: 2h")),), WARNING, "customers: {name: Customers, about", "customers: {name: Customers, about"),
    Case("heard_after_the_end", ((CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("within: 1h, every: 4h", "within: 5h, every: 6h")),), WARNING, "customers: {name: Customers, about", "resolve: 4h"),
    Case("met_inside", ((CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("[status_page,", "[update, status_page,")),), ERROR, "customers: {name: Customers, about"),
    Case("cannot_be_heard", (("    social_media: {approves: communication_lead, sends: communication_lead}\n", ""), (CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("[status_page, customer_mail, in_app]", "[social_media]"))), ERROR, "customers: {name: Customers, about", "approval:"),
    Case("goes_past_its_owner", ((CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("communication_lead", "customer_liaison")),), ERROR, "customers: {name: Customers, about", "status_page: {approves"),
    Case("customers_get_every_update", ((CUSTOMERS_HEAR, CUSTOMERS_HEAR.replace("[status_page, customer_mail, in_app]", "[customer_mail]")),), ERROR, "customers: {name: Customers, about", "major_changes_only: true"),
    Case("never_major", (("    above_percent_of_users: 50\n    subtypes: [data_breach, complete_outage]", "    above_percent_of_users: 100\n    subtypes: []"),), ERROR, "media: {name: Media", "above_percent_of_users: 100"),
    Case("never_major", (("    above_percent_of_users: 50\n", "    above_percent_of_users: 100\n"), ("media: {name: Media,", "media: {name: Media, types: [performance],")), ERROR, "media: {name: Media", "above_percent_of_users: 100"),
    Case("told_before_customers", (("    above_percent_of_users: 50\n", "    above_percent_of_users: 5\n"),), WARNING, "above_percent_of_users: 5", "above_percent_of_users: 10"),
    Case("verified_too_late", (("  verified_within: 1 week ", "  verified_within: 2 weeks "),), WARNING, "verified_within: 2 weeks", "immediate:"),
    Case("reminder_before_start", (("  verified_within: 1 week ", "  verified_within: 12h "),), ERROR, "remind_before: [1d]", "verified_within: 12h"),
    Case("reminder_before_start", (("  continuity:\n    remind_at_percent: [80]\n", "  continuity:\n    remind_before: [3h]\n"),), ERROR, "remind_before: [3h]", "customers: {name: Customers, about"),
    Case("never_chased", (("  validation:\n    remind_at_percent: [80]\n    chase_every: 1h\n", "  validation:\n    remind_at_percent: [80]\n"),), WARNING, "validation:"),
    Case("never_escalated", (("    escalate_after: 1 week\n    escalate_to: cto\n", ""),), WARNING, "action_verification:"),
    Case("escalates_to_its_owner", (("  verified_by: engineering_manager", "  verified_by: cto"),), WARNING, "escalate_to: cto"),
    Case("escalates_to_its_owner", (("    escalate_after: 2h\n    escalate_to: incident_commander", "    escalate_after: 2h\n    escalate_to: technical_lead"),), WARNING, "escalate_to: technical_lead"),
    Case("escalates_to_its_owner", (*(("through: communication_lead, within: 1h", "through: incident_commander, within: 1h"),) * 2, ("through: communication_lead, within: 2h, every: 8h", "through: incident_commander, within: 2h, every: 8h")), WARNING, "escalate_to: incident_commander"),
    Case("type_never_counts", (("        - {fact: security, equals: true}\n", ""), ("        - {fact: type, equals: security}\n        - {fact: summary, matches: '\\b(unauthori", "        - {fact: type, equals: data}\n        - {fact: type, equals: integration}\n"), ("[sz]ed access|intrusion|ransomware|malware|phishing|ddos|compromised|security (incident|breach|alert)|vulnerability exploited)\\b'}\n", "")), ERROR, "type: security", "when:"),
    Case("type_never_counts", ((LAST, "  - name: ours\n    severity: P4\n    type: data\n    when: {fact: security, equals: true}\n" + LAST),), ERROR, "type: data", "when: {fact: security"),
    Case("opens_in_the_open", ((BREACH, "    # so that"),), ERROR, "name: security breach with exposure of data", "restricted: true"),
    Case("opens_in_the_open", ((LAST, "  - name: ours\n    severity: P4\n    when: {fact: subtype, one_of: [complete_outage, ddos]}\n" + LAST),), ERROR, "name: ours", "restricted: true"),
]  # fmt: skip

GUIDE = {
    7: [
        Case("first_minutes", (("    respond: 15m ", "    respond: 30m "),), WARNING, "respond: 30m", "update: 15m"),
        Case("first_minutes", (("purpose: where every response takes place", "purpose: where the first 20 minutes take place"),), ERROR, "first 20 minutes", "respond: 15m"),
    ],
    2: [
        Case("ends_by_itself", (("  severities: [P3, P4] ", "  severities: [P2, P3, P4] "),), ERROR, "severities: [P2, P3, P4]", "validate_before: resolved"),
        Case("ends_by_itself", (("    judged_by: data_recovered_percent\n    hits: [business continuity, customer trust]\n    self_resolves: false\n", "    judged_by: data_recovered_percent\n    hits: [business continuity, customer trust]\n    self_resolves: true\n"),), ERROR, "self_resolves: true", "clear_for: 5m"),
    ],
    13: [
        Case("hours_disagree", (in_severity("P3", "hours: business", "hours: always"),), ERROR, "hours: always", "hours: business"),
        Case("hours_disagree", (in_severity("P3", "    hours: business", "    hours: always"), ("      repeat_every: 1 business day\n      hours: business\n", "      repeat_every: 1 business day\n")), ERROR, "hours: always", "acknowledge: 2h business"),
        Case("asleep", (in_severity("P2", "hours: always", "hours: business"),), ERROR, "hours: business", "escalation:"),
        Case("asleep", (in_severity("P2", "update: 1h", "update: 1h business"),), ERROR, "update: 1h business", "escalation:"),
    ],
    26: [Case("update_before_response", (("    first_update: response ", "    first_update: interval "),), ERROR, "first_update: interval", "respond: 2 business days")],
    28: [
        Case("post_mortem_order", (("  draft: 72h", "  draft: 24h"),), ERROR, "root_cause: 48h", "draft: 24h"),
        Case("post_mortem_order", (("  publication: 2 weeks", "  publication: 48h"),), ERROR, "review: 1 week", "publication: 48h"),
        Case("published_too_early", (("  publication: 2 weeks", "  publication: 48h"),), ERROR, "publication: 48h", "meeting_held: 1 week"),
        Case("meeting_before_the_cause", (("  meeting_held: 1 week ", "  meeting_held: 48h "),), ERROR, "meeting_held: 48h", "root_cause: 48h"),
        Case("promise_typed_into_a_message", (("        Post-mortem: {{ post_mortem_place }}, by {{ post_mortem_date }}", "        Post-mortem: {{ post_mortem_place }}, within 48 hours"),), ERROR, "text: |", "publication: 2 weeks"),
        Case("no_date_for_the_post_mortem", (("        Post-mortem: {{ post_mortem_place }}, by {{ post_mortem_date }}", "        Post-mortem: {{ post_mortem_place }}"),), WARNING, "text: |", "publication: 2 weeks"),
    ],
    29: [
        Case("post_mortem_not_owed", (P1_POST_MORTEM,), ERROR, "post_mortem: optional", "post_mortem:"),
        Case("post_mortem_not_owed", (in_severity("P2", "    post_mortem: required\n", "    post_mortem: none\n"),), ERROR, "post_mortem: none", "post_mortem:"),
        Case("post_mortem_not_owed", (("    self_resolves: false\n    post_mortem: required                       # at any", "    self_resolves: false\n    post_mortem: by_severity                       # at any"),), ERROR, "post_mortem: by_severity", "post_mortem: optional"),
    ],
    30: [
        Case("team_comes_late", (("activate_team: at_once ", "activate_team: by_hand "),), ERROR, "activate_team: by_hand", "respond: 15m"),
        Case("team_comes_late", (("activate_team: proposed ", "activate_team: by_hand "),), WARNING, "activate_team: by_hand", "respond: 1h"),
        Case("team_comes_for_little", (in_severity("P3", "activate_team: by_hand", "activate_team: at_once"),), ERROR, "activate_team: at_once", "respond: 4h business"),
        Case("team_comes_for_little", (in_severity("P4", "activate_team: by_hand", "activate_team: at_once"),), ERROR, "activate_team: at_once", "respond: 2 business days"),
    ],
    31: [
        Case("fallback_is_no_answer", (("root_cause: {meaning: why it happened, inside: under investigation, outside: under investigation}", "root_cause: {meaning: why it happened, inside: under investigation, outside: TBD}"),), ERROR, "root_cause: {", "text: |"),
        Case("name_outside", (("    outside_always: our incident commander ", "    #"),), ERROR, "commander:", "text: |"),
    ],
    32: [
        Case("breach_waits_for_a_share", (("    at_any_share: [data_breach] ", "    at_any_share: [] "),), ERROR, "at_any_share: []", "above_percent_of_users: 10"),
        Case("upside_down", (("    severities: [P1, P2]\n    above_percent", "    severities: [P2, P3]\n    above_percent"),), ERROR, "severities: [P2, P3]"),
        Case("customers_get_every_update", (("    major_changes_only: true ", "    major_changes_only: false "),), ERROR, "major_changes_only: false", "update: 15m"),
        Case("promise_typed_into_a_message", ((CUSTOMERS, CUSTOMERS + "          We write every 15 minutes.\n"),), ERROR, "text: |", "update: 15m"),
        Case("rhythm_outside", (("    outside_always: whenever", "    # whenever"),), ERROR, "update_every:", "text: |"),
    ],
    33: [
        Case("lead_not_told", ((P2_NOTICE, P2_NOTICE.replace("engineering_lead", "cto")),), ERROR, "targets: [cto]", "{after: 20m, targets: [engineering_lead]}"),
        Case("lead_not_told", ((P2_NOTICE, P2_NOTICE.replace("opened", "confirmed")),), ERROR, "when: confirmed", "{after: 20m, targets: [engineering_lead]}"),
        Case("lead_not_told", ((P2_NOTICE, ""),), ERROR, "P2:", "{after: 20m, targets: [engineering_lead]}"),
        Case("chain_ends_too_low", (("        - {after: 60m, targets: [cto]}\n", ""),), ERROR, "targets: [engineering_manager]", "acknowledge: 30m"),
        Case("chain_ends_too_high", (("        - {after: 60m, targets: [cto]}\n", "        - {after: 60m, targets: [cto]}\n        - {after: 90m, targets: [ceo]}\n"),), ERROR, "{after: 90m", "{after: 20m, targets: [ceo]}"),
        Case("chain_ends_too_low", (("        - {after: 20m, targets: [ceo]}\n", ""),), ERROR, "targets: [cto]", "acknowledge: 5m"),
    ],
    34: [
        Case("validated_too_late", (("    validate_before: resolved                   # [REC-5]", "    validate_before: closed"),), ERROR, "validate_before: closed", "resolve: 4h"),
        Case("validated_too_late", (in_severity("P2", "validate_before: resolved", "validate_before: closed"),), ERROR, "validate_before: closed", "resolve: 24h"),
        Case("validated_too_late", (("    post_mortem: required                       # at any severity\n    validate_before: resolved\n", "    post_mortem: required\n"),), ERROR, "security:", "validate_before: closed"),
    ],
    35: [
        Case("watched_too_short", (("watch_after_resolved: 2h", "watch_after_resolved: 20m"),), ERROR, "watch_after_resolved: 20m", "reopen_within: 30m"),
        Case("watched_too_short", (("watch_after_resolved: 2h", "watch_after_resolved: 0m"),), ERROR, "watch_after_resolved: 0m", "reopen_within: 30m"),
    ],
    36: [
        Case("reviewed_too_rarely", (("review_every: 1 quarter", "review_every: 1 year"),), WARNING, "review_every: 1 year", "version:"),
        Case("version_is_a_date", (('version: "1.0.0"', 'version: "2025-01-15"'),), WARNING, "version:", "review_every: 1 quarter"),
    ],
    37: [
        Case("stakeholders_approved_elsewhere", (("stakeholders: {approves: incident_commander", "stakeholders: {approves: communication_lead"),), ERROR, "stakeholders:", "incident_commander:"),
        Case("stakeholders_approved_elsewhere", (("approves: incident_commander, sends: communication_lead", "approves: incident_commander, sends: incident_commander"),), ERROR, "stakeholders:", "communication_lead:"),
        Case("nobody_approves", (("status_page: {approves: communication_lead, sends: communication_lead}", "status_page: {approves: on_call, sends: on_call}"),), ERROR, "status_page: {", "communication_lead:"),
        Case("nobody_approves", (("media: {approves: public_relations, sends: public_relations}", "media: {approves: support, sends: support}"),), ERROR, "media: {approves", "media: {name"),
        Case("goes_past_its_owner", (("investors: {approves: ceo, sends: ceo}", "investors: {approves: cto, sends: communication_lead}"),), ERROR, "investors: {approves", "investors: {name"),
        Case("status_after_the_end", (("within: 1 week, status_every: 1 week", "within: 1 week, status_every: 2 weeks"),), ERROR, "immediate:", "immediate:"),
        Case("actions_out_of_order", (("within: 1 month, status_every: 2 weeks", "within: 1 month, status_every: 3d"),), WARNING, "immediate:", "short_term:"),
    ],
}  # fmt: skip


def found_at_its_lines(case: Case) -> None:
    text = planted(*case.changes)
    places, lines = Places(text, "policy.yaml"), text.splitlines()
    found = [one for one in check(load_policy(text)) if one.rule == case.rule]
    assert found, f"{case.rule} is not found"
    fitting = [
        one
        for one in found
        if case.line in lines[places.line(one.where) - 1]
        and (case.other in lines[places.line(one.also) - 1] if case.other else not one.also)
    ]
    assert fitting, [
        (one, lines[places.line(one.where) - 1], lines[places.line(one.also) - 1]) for one in found
    ]
    assert fitting[0].severity == case.severity
    assert ":" in fitting[0].sentence  # what is wrong: what to do


@pytest.mark.guide("GOV-1")
@pytest.mark.parametrize("case", [*PROMISES, *PAGING, *CHASING, *RULES, *WORDS], ids=lambda case: case.rule)
def test_a_fault_of_sense_is_found_at_its_lines(case: Case) -> None:
    found_at_its_lines(case)


BY_SEMANTICS = {
    "validated_without_a_plan": 34, "phase_without_a_step": 34, "opens_in_the_open": 23, "customers_get_every_update": 32,
    "goes_past_its_owner": 37,
}  # fmt: skip


@pytest.mark.guide("GOV-1")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(
            case, id=case.rule, marks=pytest.mark.semantics(BY_SEMANTICS[case.rule]) if case.rule in BY_SEMANTICS else ()
        )
        for case in PLANS
    ],
)  # fmt: skip
def test_a_fault_of_plans_and_of_what_they_rest_on_is_found_at_its_lines(case: Case) -> None:
    found_at_its_lines(case)


@pytest.mark.guide("GOV-1")
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=pytest.mark.semantics(number), id=f"{number}-{case.rule}")
        for number, cases in GUIDE.items()
        for case in cases
    ],
)
def test_a_contradiction_of_the_guide_is_found_where_it_is_planted_again(case: Case) -> None:
    found_at_its_lines(case)


def test_the_default_policy_has_none_of_them() -> None:
    assert check(default_policy()) == []


def test_every_check_has_a_planted_case_and_stands_in_the_documentation() -> None:
    root = Path(__file__).parents[2]
    source = "".join(path.read_text() for path in sorted((root / "src/tocsin/policy").glob("check_*.py")))
    named = set(re.findall(r'Finding\(\s*"([a-z_]+)"', source)) | {"name_outside", "rhythm_outside"}
    named |= {"acknowledge_after_respond", "respond_after_resolve"}
    cases = [
        *PROMISES,
        *PAGING,
        *CHASING,
        *RULES,
        *WORDS,
        *PLANS,
        *(one for those in GUIDE.values() for one in those),
    ]
    assert named == {case.rule for case in cases}
    page = (root / "docs/policy.md").read_text()
    assert [name for name in sorted(named) if f"`{name}`" not in page] == []


def test_a_finding_about_two_places_names_the_other_line_in_its_sentence() -> None:
    text = planted((LAST, rule("one", "P2", SLOW) + rule("other", "P4", SLOW) + LAST))
    found = next(one for one in check(load_policy(text)) if one.rule == "rules_contradict")
    lines = text.splitlines()
    one, other = lines.index("  - name: one") + 1, lines.index("  - name: other") + 1
    said = Places(text, "policy.yaml").said(found)
    assert said.startswith(f"policy.yaml:{other}: error: the rules 'one' (P2) and 'other' (P4) ask the same")
    assert said.endswith(f"keep one of them (see also line {one})")


def test_a_finding_has_one_line_first_that_programs_follow_whatever_it_is_about() -> None:
    """``FILE:LINE: severity: sentence``: another line is named within the sentence, and only where it is another."""
    text = planted(
        ("within: 1 week, status_every: 1 week", "within: 1 week, status_every: 2 weeks"),
        ("    update: 15m ", "    update: 3h  "),
    )
    places = Places(text, "policy.yaml")
    said = [places.said(one) for one in check(load_policy(text))]
    shape = re.compile(r"policy\.yaml:(\d+): (error|warning): (?:(?!policy\.yaml).)+")
    assert all(shape.fullmatch(one) for one in said), said
    lines = text.splitlines()
    alone = next(one for one in said if "when they have been due" in one)
    assert "see also" not in alone and "immediate:" in lines[int(alone.split(":")[1]) - 1]
    both = next(one for one in said if "the milder P2" in one)
    also = re.search(r"\(see also line (\d+)\)$", both)
    assert also is not None and "update: 1h" in lines[int(also[1]) - 1]


def test_two_rules_that_say_the_same_are_one_too_many() -> None:
    found = findings((LAST, rule("one", "P4", SLOW) + rule("other", "P4", SLOW) + LAST))
    assert [(finding.rule, finding.where, finding.also) for finding in found] == [
        ("rule_shadowed", "rules.20", "rules.19")
    ]


def test_errors_come_before_warnings() -> None:
    found = findings(("acknowledge: 30m", "acknowledge: 90m"), ("    update: 15m ", "    update: 3h  "))
    assert [finding.severity for finding in found] == ["error", "warning"]


def test_a_step_in_business_time_is_compared_by_when_it_comes() -> None:
    """Two business hours are never over before two hours, though over a weekend they take longer."""
    right = "{after: 2h business, targets: [engineering_manager]}"
    assert findings((right, "{after: 3h business, targets: [engineering_manager]}")) == []


def test_what_an_organisation_decides_for_itself_is_no_contradiction() -> None:
    """Faster answers, other steps of its own people, and more that customers see."""
    assert findings(("    respond: 15m ", "    respond: 10m ")) == []
    assert findings(("{after: 60m, targets: [cto]}", "{after: 60m, targets: ['person:kavya']}")) == []
    assert findings(("    modal: [P1]\n", "    modal: [P1, P2]\n")) == []
