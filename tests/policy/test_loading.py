"""Every fault of a policy file is found at its line, in words that say how to mend it."""

from __future__ import annotations

import pytest

from tocsin.kernel.errors import UnusableMany
from tocsin.policy.load import default_policy, default_policy_text, load_policy, locate, policy_from_bytes

TEXT = default_policy_text()


def line_of(text: str, part: str) -> int:
    """The line on which ``part`` first stands."""
    return text[: text.index(part)].count("\n") + 1


def faults_of(text: str) -> list[tuple[str, str]]:
    with pytest.raises(UnusableMany) as refused:
        load_policy(text, "policy.yaml")
    return [(fault.where, fault.sentence) for fault in refused.value.faults]


# what stands in the default, what somebody wrote instead, and words that the fault must contain
MISTAKES = {
    "an unknown key": ("    war_room: true", "    warroom: true", "did you mean 'war_room'?"),
    "a missing key": ("    resolve: 4h\n", "", "lacks the key 'resolve'"),
    "an unknown section": ("causes:  ", "cause:  ", "did you mean 'causes'?"),
    "a word for true": ("    war_room: true", "    war_room: yes", "must be true or false"),
    "a number for a text": ('  version: "1.0.0"', "  version: 1", "must be text, not 1: put it in quotes"),
    "a text for a number": ("above_percent_of_users: 10", 'above_percent_of_users: "10"', "without quotes"),
    "a share above all": ("above_percent_of_users: 10", "above_percent_of_users: 110", "100"),
    "a text for a list": ("targets: [cto, ceo]", "targets: cto", "must be a list"),
    "an empty list": ("targets: [cto, ceo]", "targets: []", "is empty"),
    "a text for a mapping": ("  in_app:                                       # [EXT-3]\n    banner: [P1, P2, P3]\n    modal: [P1]\n    degraded_message: true", "  in_app: no", "must be a mapping"),
    "nothing at all": ("    meaning: The whole platform is down or there is a critical breach; everybody is cut off from core functions.", "    meaning:", "must be text, not nothing"),
    "a duration without unit": ("    resolve: 4h", "    resolve: 4", "is not a duration"),
    "an unknown unit": ("    resolve: 4h", "    resolve: 4 hrs", "write it like"),
    "a promise of no time": ("    resolve: 4h", "    resolve: 0m", "the duration is 0"),
    "a repeat without pause": ("repeat_every: 30m", "repeat_every: 0", "the duration is 0"),
    "business time where it cannot be": ("  group_window: 30m", "  group_window: 30m business", "has no fixed length"),
    "an unknown choice": ("hours: business                             # chased", "hours: office                               # chased", "use 'always' or 'business'"),
    "an unknown position": ("targets: [cto, ceo]", "targets: [cto, ceoo]", "did you mean 'ceo'?"),
    "an unknown position in a chain": ("{after: 5m, targets: [engineering_lead]}", "{after: 5m, targets: [team_lead]}", "there is no position 'team_lead'"),
    "an unknown owner": ("  owner: cto", "  owner: boss", "there is no position 'boss'"),
    "an unknown position to chase": ("    escalate_to: ceo", "    escalate_to: chairman", "there is no position 'chairman'"),
    "an unknown digest": ("digest_to: engineering_lead", "digest_to: somebody", "there is no position 'somebody'"),
    "a digest to nobody": ("      digest_to: engineering_lead\n", "", "belong together"),
    "an escalation to nobody": ("    escalate_to: ceo\n", "", "belong together"),
    "reminders out of order": ("remind_at_percent: [50, 80]", "remind_at_percent: [80, 50]", "must rise"),
    "an unknown position at a post-mortem": ("  optional: [support, ", "  optional: [suport, ", "did you mean 'support'?"),
    "an unknown approver": ("media: {approves: public_relations", "media: {approves: press", "there is no position 'press'"),
    "an unknown standby": ("standby: secondary_commander", "standby: second", "there is no position 'second'"),
    "an unknown member": ("members: [security, cto]", "members: [ciso]", "there is no position 'ciso'"),
    "an unknown calendar": ("default_calendar: office", "default_calendar: offices", "did you mean 'office'?"),
    "an unknown severity": ("  severities: [P3, P4]", "  severities: [P3, P5]", "there is no severity 'P5'"),
    "a severity too many": ("  P4:", "  P5:", "there is no severity 'P5'"),
    "an unknown role": ("  customer_liaison:     ", "  customer_contact:     ", "there is no role 'customer_contact'"),
    "an unknown duty": ("  action_status:\n", "  action_state:\n", "did you mean 'action_status'?"),
    "an unknown party": ("    media: {name: Media", "    press: {name: Media", "there is no party 'press'"),
    "an unknown way out": ("    in_app: {approves", "    inapp: {approves", "did you mean 'in_app'?"),
    "an unknown type of a party": ("types: [integration], through", "types: [integrations], through", "did you mean 'integration'?"),
    "an unknown type of a channel": ("for_types: [security]", "for_types: [secret]", "there is no type 'secret'"),
    "an unknown subtype": ("at_any_share: [data_breach]", "at_any_share: [data_breech]", "did you mean 'data_breach'?"),
    "an unknown blank": ("Impact: {{ impact }}", "Impact: {{ impcat }}", "did you mean 'impact'?"),
    "a blank without fallback": ("  eta: {meaning: when it is expected to be solved, inside: no estimate yet, outside: we cannot give a time yet}\n", "", "the blank 'eta' has no fallback"),
    "a blank that is not closed": ("Impact: {{ impact }}", "Impact: {{ impact }", "not closed"),
    "an unknown audience": ("      customers:\n        subject: \"Service", "      clients:\n        subject: \"Service", "there is no audience 'clients'"),
    "an unknown component in a rule": ("equals: Authentication}", "equals: Authentification}", "did you mean 'Authentication'?"),
    "an unknown subtype in a rule": ("equals: complete_outage}", "equals: complete_outrage}", "did you mean 'complete_outage'?"),
    "an unknown fact": ("{fact: latency_ms, above: 5000}", "{fact: latency, above: 5000}", "there is no fact 'latency'"),
    "a fact with two comparisons": ("{fact: latency_ms, above: 5000}", "{fact: latency_ms, above: 5000, below: 9000}", "one comparison"),
    "a fact without comparison": ("{fact: latency_ms, above: 5000}", "{fact: latency_ms}", "one comparison"),
    "a text compared as a number": ("{fact: subtype, equals: complete_outage}", "{fact: subtype, above: 5}", "subtype is text"),
    "a number compared as a text": ("{fact: latency_ms, above: 5000}", "{fact: latency_ms, matches: '5'}", "not a text"),
    "a pattern that is none": ("matches: '\\S'", "matches: '('", "is not a pattern"),
    "a pattern that may run for ever": ("matches: '\\S'", "matches: '(a+)+$'", "a repeat inside a repeat"),
    "a pattern that is too wide": ("matches: '\\S'", "matches: '.*a.*b.*c'", "could take too long"),
    "a pattern that looks back": ("matches: '\\S'", "matches: '(a)\\1'", "back-references"),
    "a pattern that looks ahead": ("matches: '\\S'", "matches: 'a(?=b)'", "look-around"),
    "an unknown type of a rule": ("    type: security                              # so", "    type: secrecy                               # so", "did you mean 'security'?"),
    "an unknown subtype of what is major": ("    subtypes: [data_breach, complete_outage]", "    subtypes: [data_breach, total_outage]", "there is no subtype 'total_outage'"),
    "an unknown verifier": ("  verified_by: engineering_manager", "  verified_by: manager", "there is no position 'manager'"),
    "an unknown type of recovery": ("  types: [security, data] ", "  types: [security, dta] ", "did you mean 'data'?"),
    "an unknown type of a step": ("owner: security, types: [security], text: block", "owner: security, types: [secure], text: block", "did you mean 'security'?"),
    "an unknown owner of a step": ("phase: service_recovery, owner: on_call", "phase: service_recovery, owner: oncall", "did you mean 'on_call'?"),
    "an unknown phase": ("id: isolate, phase: stop_damage", "id: isolate, phase: stop", "there is no phase of recovery 'stop'"),
    "an unknown strand": ("id: read_only, strand: fallback", "id: read_only, strand: fallbck", "did you mean 'fallback'?"),
    "an unknown component of a plan": ("components: [database, file_storage]", "components: [database, files]", "there is no component 'files'"),
    "an unknown subtype of a plan": ("      subtypes: [payment_gateway]", "      subtypes: [payments]", "there is no subtype 'payments'"),
    "an unknown type of a step of a plan": ("id: read_only, strand: fallback, owner: technical_lead", "id: read_only, strand: fallback, types: [dat], owner: technical_lead", "did you mean 'data'?"),
    "an unknown voice of a plan": ("about: how the restoration goes, through: communication_lead", "about: how the restoration goes, through: speaker", "there is no position 'speaker'"),
    "an unknown way to tell": ("met_by: [update]", "met_by: [updates]", "did you mean 'update'?"),
    "a plan that nothing begins": ("      components: [authentication]\n", "", "nothing begins this plan"),
    "two steps of one name": ("id: rollback_ready", "id: isolate", "two steps are called isolate"),
    "two rules of one name": ("  - name: edge case\n", "  - name: small request\n", "two rules are called 'small request'"),
    "an unknown zone": ("    zone: UTC ", "    zone: Utopia ", "there is no time zone 'Utopia'"),
    "hours that run backwards": ('monday: ["09:00-17:00"]', 'monday: ["17:00-09:00"]', "night shift on two days"),
    "hours that overlap": ('monday: ["09:00-17:00"]', 'monday: ["09:00-17:00", "16:00-18:00"]', "overlap"),
    "hours that are none": ('monday: ["09:00-17:00"]', 'monday: ["nine to five"]', "write them like 09:00-17:00"),
    "a holiday that is none": ("    holidays: []", "    holidays: [Christmas]", "write it like 2026-12-25"),
    "a time of day that is none": ('      at: ["09:30"]', '      at: ["9.30"]', "write it like 09:30"),
    "a name with blanks": ("  complete_outage: complete", "  Complete Outage: complete", "is not a name"),
    "a key that stands twice": ("    resolve: 4h", "    resolve: 4h\n    resolve: 5h", "stands twice"),
    "a tab": ("    resolve: 4h", "\tresolve: 4h", "use spaces"),
    "a tag": ("    resolve: 4h", "    resolve: !hours 4", "the tag !hours is not used"),
    "no YAML": ("targets: [cto, ceo]", "targets: [cto, ceo", "not valid YAML"),
    "two documents": ("causes:   ", "---\ncauses:   ", "not valid YAML"),
    "a strange character": ("title: Incident response policy", "title: Incident \x07 policy", "does not allow"),
    "an unknown alias": ("    war_room: true", "    war_room: *nothing", "not valid YAML"),
}  # fmt: skip


@pytest.mark.guide("GOV-1")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_at_its_line(mistake: str) -> None:
    right, wrong, words = MISTAKES[mistake]
    assert right in TEXT, "the default policy has changed: choose another place for this mistake"
    broken = TEXT.replace(right, wrong, 1)
    faults = faults_of(broken)
    sentences = [sentence for _, sentence in faults if words in sentence]
    assert sentences, faults
    if wrong:
        start = line_of(TEXT, right)  # where the text begins to differ
        lines = [int(where.removeprefix("policy.yaml:")) for where, sentence in faults if words in sentence]
        assert any(start - 4 <= line <= start + 4 + wrong.count("\n") for line in lines), (start, faults)


def test_the_line_is_exact() -> None:
    broken = TEXT.replace("    resolve: 24h", "    resolve: soon", 1)
    assert faults_of(broken)[0][0] == f"policy.yaml:{line_of(broken, '    resolve: soon')}"


def test_all_faults_come_at_once_in_the_order_of_the_file() -> None:
    broken = TEXT.replace("    resolve: 4h", "    resolve: 4hh").replace("modal: [P1]", "modal: P1")
    broken = broken.replace("  owner: cto", "  owner: 7")
    where = [int(fault[0].rpartition(":")[2]) for fault in faults_of(broken)]
    assert len(where) == 3
    assert where == sorted(where)


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("    acknowledge: 5m", "    acknowlege: 5m", "did you mean 'acknowledge'?"),
        ("    zone: UTC ", "    zone: Utopia ", "there is no time zone 'Utopia'"),
        ("    resolve: 4h\n", "", "lacks the key 'resolve'"),
        ("  P4:", "  P5:", "there is no severity 'P5'"),
        ("    escalation:\n", "    escaltion:\n", "did you mean 'escalation'?"),
        ("    war_room: true", "    war_room: yes", "must be true or false"),
    ],
)
def test_a_fault_of_the_structure_hides_no_name_that_leads_nowhere(
    right: str, wrong: str, words: str
) -> None:
    assert right in TEXT
    broken = TEXT.replace(right, wrong, 1).replace("targets: [cto, ceo]", "targets: [ctoo, ceo]", 1)
    line = f"policy.yaml:{line_of(broken, '[ctoo, ceo]')}"
    faults = faults_of(broken)
    assert [words in sentence for _, sentence in faults].count(True) == 1
    named = [(where, sentence) for where, sentence in faults if "there is no position" in sentence]
    assert len(named) == 1 and named[0][0] == line and "'ctoo'" in named[0][1], faults


def test_what_cannot_be_read_makes_no_fault_of_names_that_are_right() -> None:
    for right, wrong in (
        ("positions:\n", "posisions:\n"),
        ("\npositions:\n", "\npositions: none\nblank_positions:\n"),
        ("\nblanks:", "\nblank_words:"),
        ("  owner: cto", "  owner: 7"),
        ("  complete_outage: complete", "  Complete Outage: complete"),
    ):
        assert right in TEXT, right
        said = [sentence for _, sentence in faults_of(TEXT.replace(right, wrong, 1))]
        assert not [one for one in said if one.startswith("there is no ") and "key" not in one], said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the policy is empty"),
        ("just words", "the policy is empty"),
        ("- a\n- list\n", "the policy is empty"),
        ("? [a, b]\n: c\n", "a key must be a word"),
        ("a: &a\n  b: *a\n", "an alias stands inside what it stands for"),
        ("a: " + "[" * 100 + "]" * 100, "nested too deeply"),
        ("a: " + "[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("a: &a [1,2,3,4,5,6,7,8,9]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "aliases unfold"),
        ("a: " + "x" * 1_000_001, "larger than 1 MB"),
        ("<<: word\n", "takes a mapping"),
        ('a: "\\ud800"\n', "half a character"),
    ],
    ids=["nothing", "words", "list", "key", "circle", "deep", "deeper", "bomb", "huge", "merge", "surrogate"],
)  # fmt: skip
def test_what_is_no_policy_at_all_is_refused_with_a_sentence(text: str, words: str) -> None:
    assert any(words in sentence for _, sentence in faults_of(text))


def test_bytes_that_are_no_utf8_are_refused_at_their_line() -> None:
    with pytest.raises(UnusableMany) as refused:
        policy_from_bytes(b"a: b\nc: \xff\n", "stored.yaml")
    assert refused.value.faults[0].where == "stored.yaml:2"


def test_anchors_and_merge_keys_work() -> None:
    shared = TEXT.replace(
        "    stand_ups:                                  #",
        "    stand_ups: &thrice                          #",
        1,
    )
    second = '    stand_ups:\n      at: ["09:00", "13:00", "17:00"]\n      days: every\n'
    merged = shared.replace(second, "    stand_ups:\n      <<: *thrice\n      days: business\n", 1)
    assert merged != TEXT
    stand_ups = load_policy(merged).severities["P2"].stand_ups
    assert stand_ups is not None
    assert (len(stand_ups.at), stand_ups.days) == (3, "business")


def test_a_reference_to_a_person_or_a_schedule_is_a_target_too() -> None:
    text = TEXT.replace("targets: [cto, ceo]", "targets: ['person:anna', 'schedule:board#secondary']", 1)
    notice = load_policy(text).severities["P1"].notice
    assert notice is not None
    assert notice.targets == ("person:anna", "schedule:board#secondary")


def test_words_that_other_readers_take_for_times_or_truths_stay_words() -> None:
    text = TEXT.replace('at: ["09:30"]', "at: [12:30]", 1).replace("name: Critical", "name: On", 1)
    policy = load_policy(text)
    stand_ups = policy.severities["P3"].stand_ups
    assert stand_ups is not None
    assert stand_ups.at == ("12:30",)
    assert policy.severities["P1"].name == "On"


def test_nothing_changes_after_loading() -> None:
    with pytest.raises(Exception, match="frozen"):
        default_policy().severities["P1"].war_room = False  # type: ignore[misc]


def test_a_finding_leads_to_its_line() -> None:
    assert (
        locate(TEXT, "policy.yaml", "severities.P2.resolve")
        == f"policy.yaml:{line_of(TEXT, '    resolve: 24h')}"
    )
