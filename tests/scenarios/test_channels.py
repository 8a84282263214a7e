"""Failures of a channel, and what comes back by text message, key and delivery state: through the real engine."""

import json
import re

import msgspec
import pytest
from broken import written_by_a_newer_version
from structlog.testing import capture_logs
from test_what_happens_to_people import World
from wire_twilio import form_of

from tocsin.catalogue.people import Contact
from tocsin.engine import changes, doctor, replies
from tocsin.engine import commands as c
from tocsin.engine.administration import administer
from tocsin.engine.watching import LATE, Alive
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import MINUTE, SECOND
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import DeliveryFailed, Unauthenticated
from tocsin.kernel.ports import Reply
from tocsin.providers.console import ConsoleChannel
from tocsin.providers.twilio import TwilioReplies, sign

NUMBER = "+4915112345678"


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    one.sms, one.voice = ConsoleChannel("sms"), ConsoleChannel("voice")
    one.engine.channels |= {"sms": one.sms, "voice": one.voice}
    one.person = one.engine.directory().resolve("on_call", one.clock.now(), service="payments").people[0]
    known = one.engine.directory().people[one.person]
    contacts = (
        Contact("text", "sms", "+49 151 12345678", tested_at=1),
        Contact("call", "voice", NUMBER, tested_at=1),
    )
    one.engine.put_records([record_of(msgspec.structs.replace(known, contacts=contacts), one.clock.now())])
    yield one
    one.store.close()


@pytest.mark.semantics(15)
def test_a_test_by_text_message_or_call_tells_the_code_that_proves_the_contact(world):
    me = person_principal(world.person, "responder")
    for contact, channel in (("text", world.sms), ("call", world.voice)):
        administer(world.engine, me, changes.TestContact(world.person, contact))
        world.run(SECOND)
        code = re.search(r"code is (\d{6})", channel.messages[-1].short)[1]
        assert administer(world.engine, me, changes.ConfirmContact(world.person, contact, code))["confirmed"]


@pytest.mark.semantics(20)
def test_a_test_that_nobody_takes_is_given_up_before_it_counts_as_a_late_page(world):
    world.sms.fail_next.extend([DeliveryFailed("twilio: no answer within 10 s")] * 50)
    administer(
        world.engine, person_principal(world.person, "responder"), changes.TestContact(world.person, "text")
    )
    for _ in range(20):
        world.run(10 * SECOND)
        assert max(world.engine.lateness()) < LATE
    (row,) = world.store.read(lambda r: r.outbox(recipient=world.person))
    assert (row.state, row.effect) == ("failed", "test")


@pytest.mark.semantics(15)
def test_a_number_that_is_gone_fails_over_to_the_next_channel_at_once_and_is_on_the_timeline(world):
    world.sms.fail_next.append(DeliveryFailed("twilio answered 400: gone (code 21211)", permanent=True))
    world.alert()
    world.run(SECOND)
    assert len(world.sms.messages) == 0
    assert len(world.voice.messages) == 1
    assert "21211" in world.told()


@pytest.mark.semantics(15)
def test_a_provider_that_is_away_has_the_next_channel_tried_beside_it_and_is_itself_tried_again(world):
    away = DeliveryFailed("twilio: no answer within 10 s")
    world.sms.fail_next.extend([away, away, away])
    world.alert()
    world.run(20 * SECOND)
    assert [one.to for one in world.voice.messages] == [NUMBER]
    world.run(2 * MINUTE)  # whoever was interrupted just now is left alone for a minute
    assert "sms does not take the message" in world.told()
    assert "page" in [one.kind for one in world.sms.messages]


@pytest.mark.semantics(15)
def test_what_one_provider_hiccup_delays_for_two_seconds_rings_once(world):
    world.sms.fail_next.append(DeliveryFailed("twilio answered 503"))
    world.alert()
    world.run(MINUTE)
    assert len(world.sms.messages) == 1
    assert len(world.voice.messages) == 0


@pytest.mark.semantics(13, 15)
def test_a_notice_falls_over_as_a_page_does(world):
    cto = world.engine.directory().resolve("cto", world.clock.now()).people[0]
    known = world.engine.directory().people[cto]
    contacts = (Contact("text", "sms", "+4915100000001"), Contact("phone", "console", cto))
    world.engine.put_records(
        [record_of(msgspec.structs.replace(known, contacts=contacts), world.clock.now())]
    )
    world.sms.fail_next.extend([DeliveryFailed("gone", permanent=True)] * 9)
    world.do("anna", c.Declare("everything is down", severity="P1", services=["payments"]))
    world.run(SECOND)
    assert [one.kind for one in world.phone.messages if one.to == cto] == ["notice"]


@pytest.mark.semantics(15)
def test_ack_by_text_message_takes_what_the_last_page_listed_and_nothing_else(world):
    world.alert()
    world.run(SECOND)
    world.alert("sign-in down", "k2", service="authentication")
    said = replies.answer(world.engine, Reply("sms", sender=NUMBER, text="Ack "))
    assert said == "You have INC-1."
    assert world.incident("INC-1").holder == world.person
    assert world.incident("INC-2").holder == ""


@pytest.mark.semantics(15)
def test_an_answer_takes_what_it_can_though_one_of_what_the_page_listed_cannot_be_read(world):
    world.alert(key="a")
    world.run(2 * SECOND)
    world.alert("checkout down", "b", service="checkout")
    world.run(2 * MINUTE)
    written_by_a_newer_version(world)
    said = replies.answer(world.engine, Reply("sms", NUMBER, text="ack"))
    assert said == "You have INC-2."
    assert world.incident("INC-2").holder == world.person


def test_a_number_names_one_incident_and_anything_else_is_answered_with_help(world):
    world.alert()
    world.run(SECOND)
    assert "Answer ACK" in replies.answer(world.engine, Reply("sms", sender=NUMBER, text="what?"))
    assert world.incident().holder == ""
    assert replies.answer(world.engine, Reply("sms", sender=NUMBER, text="ack 1")) == "You have INC-1."
    assert "no incident" in replies.answer(world.engine, Reply("sms", sender=NUMBER, text="ack 999"))


@pytest.mark.semantics(15)
@pytest.mark.parametrize(
    "text", ["ACK!", "ack please", "Ack - on it", "acknowledge, thanks", "OK.", "ack INC-1, on it", "y"]
)
def test_an_answer_is_taken_as_people_type_it_at_night(world, text):
    world.alert()
    world.run(SECOND)
    assert replies.answer(world.engine, Reply("sms", sender=NUMBER, text=text)) == "You have INC-1."


@pytest.mark.semantics(15)
@pytest.mark.parametrize(
    "text", ["ok what is this", "no problem", "yes but not me", "not me", "", "!", "the ack"]
)
def test_what_could_mean_something_else_changes_nothing(world, text):
    world.alert()
    world.run(SECOND)
    before = world.incident()
    assert "Answer ACK" in replies.answer(world.engine, Reply("sms", sender=NUMBER, text=text))
    assert world.incident() == before


@pytest.mark.semantics(15)
def test_a_stranger_changes_nothing(world):
    world.alert()
    world.run(SECOND)
    stranger = Reply("sms", sender="+15550001111", text="ACK")
    assert replies.answer(world.engine, stranger) == "", "and is not answered: a machine would answer that"
    assert world.incident().holder == ""


@pytest.mark.semantics(6, 15)
def test_a_key_on_the_telephone_acknowledges_or_passes_on(world):
    world.alert()
    world.run(SECOND)
    token = world.sms.messages[0].ack_url.rpartition("/")[2]
    assert "does nothing" in replies.answer(world.engine, Reply("voice", digits="9", token=token))
    assert replies.answer(world.engine, Reply("voice", digits="6", token=token)).startswith("Passed on")
    world.run(SECOND)
    assert len({person for run in world.incident().runs.values() for person in run.paged}) > 1
    assert replies.answer(world.engine, Reply("voice", digits="4", token=token)) == "You have INC-1."
    assert world.incident().holder == world.person


@pytest.mark.semantics(15)
def test_accepted_is_not_delivered_a_failure_told_later_fails_over(world):
    world.alert()
    world.run(SECOND)
    message = world.sms.messages[0]
    late = Reply("status", message=message.id, state="failed", detail="twilio: undelivered, error 30003")
    assert replies.delivered(world.engine, late)
    world.run(SECOND)
    assert len(world.voice.messages) == 1
    assert "30003" in world.told()
    assert not replies.delivered(world.engine, late), "told twice, it counts once"
    world.run(MINUTE)
    assert len([one for one in world.voice.messages if one.kind == "page"]) <= 2


def test_a_state_of_a_message_that_nobody_sent_is_no_news(world):
    assert not replies.delivered(world.engine, Reply("status", message="nope", state="failed"))


def test_only_what_twilio_signed_is_read():
    url, form = "https://t.example/in/reply/sms/KEY", form_of("ACK", NUMBER)
    reading = TwilioReplies("secret")
    assert reading.read("sms", url, form, sign("secret", url, form)).text == "ACK"
    for wrong_url, wrong_form, token in (
        (url + "x", form, "secret"), (url, [*form, ("Extra", "1")], "secret"), (url, form, "other"),
    ):  # fmt: skip
        with pytest.raises(Unauthenticated, match="signature"):
            reading.read("sms", url, form, sign(token, wrong_url, wrong_form))


@pytest.mark.parametrize(
    ("ours", "signed"),
    [
        ("https://t.example:8443/in/reply/sms/KEY?m=1", "https://t.example/in/reply/sms/KEY?m=1"),
        ("https://t.example/in/reply/sms/KEY", "https://t.example:443/in/reply/sms/KEY"),
        ("http://t.example/in/reply/sms/KEY", "http://t.example:80/in/reply/sms/KEY"),
        ("https://[2001:db8::1]:8443/in/reply/sms/KEY", "https://[2001:db8::1]/in/reply/sms/KEY"),
    ],
)
def test_a_signature_counts_with_the_port_and_without_it(ours, signed):
    # Twilio's own libraries try both: some of its products leave the port out of what they sign
    form = form_of("ACK", NUMBER)
    assert TwilioReplies("secret").read("sms", ours, form, sign("secret", signed, form)).text == "ACK"
    other = signed.replace("://", "://x")
    with pytest.raises(Unauthenticated, match="signature"):
        TwilioReplies("secret").read("sms", ours, form, sign("secret", other, form))


def test_the_signature_is_the_one_of_twilios_own_example():
    # the worked example of https://www.twilio.com/docs/usage/security
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ]
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert sign("12345", url, form) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


def test_a_page_carries_the_id_by_which_the_provider_reports(world):
    world.alert()
    world.run(SECOND)
    row = world.store.read(lambda r: r.outbox_row(world.sms.messages[0].id))
    assert row.recipient == world.person
    assert json.loads(row.payload)["incident"] == world.incident().id


@pytest.mark.semantics(9, 15)
def test_the_number_of_a_merged_incident_leads_on_in_a_reply(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Declare("checkout down", severity="P1", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "the same"))
    assert replies.answer(world.engine, Reply("sms", sender=NUMBER, text="ack 1")) == "You have INC-2."
    assert world.incident("INC-2").holder == world.person


def test_a_pager_behind_tocsin_follows_what_becomes_of_its_alert(world):
    """PagerDuty keeps a state of its own: what Tocsin has taken or ended must not stay open there, nor begin anew."""
    pager = ConsoleChannel("pagerduty")
    world.engine.channels["pagerduty"] = pager
    known = world.engine.directory().people[world.person]
    contacts = (Contact("pd", "pagerduty", "R" * 32, tested_at=1),)
    world.engine.put_records(
        [record_of(msgspec.structs.replace(known, contacts=contacts), world.clock.now())]
    )

    def seen():
        return [(one.action, one.thread) for one in pager.messages]

    world.alert()
    world.run(SECOND)
    incident = world.incident().id
    assert seen() == [("trigger", incident)]
    world.do(world.person, c.Acknowledge("INC-1"))
    world.run(2 * SECOND)
    assert seen()[1:] == [("acknowledge", incident)]
    world.do(world.person, c.Move("INC-1", "resolve", "rolled back", override="checked by hand"))
    world.run(2 * MINUTE)
    assert set(seen()[2:]) == {("resolve", incident)}
    world.do(world.person, c.Move("INC-1", "reopen", "it is back"))
    world.run(2 * SECOND)
    assert seen()[-1] == ("trigger", incident)


def alive(world):
    """A server gives a sign of life."""
    now = world.clock.now()
    row = Alive("here:1", "serve", now, now, 0)
    world.store.write(lambda tx: tx.put_meta(f"alive/{row.process}", encode(row)))


def test_the_doctor_names_the_channel_that_takes_nothing_and_the_log_says_so_once_a_minute(world):
    down = DeliveryFailed("twilio: no connection: 10.0.0.8 with token=abcdefghijklmnop")
    for channel in (world.sms, world.voice):
        channel.fail_next.extend([down] * 100)
    world.alert()
    with capture_logs() as said:
        world.run(3 * MINUTE)
    alive(world)
    warned = [one for one in said if one["event"] == "a delivery failed" and one["channel"] == "sms"]
    assert 2 <= len(warned) <= 4, "each try has its own end; the log says it once in a while"
    assert warned[0]["tried_again"] and "no connection" in warned[0]["why"]
    found = {one.about: one for one in doctor.examine(world.engine)}
    assert found["deliveries"].level == "fail"
    assert found["deliveries"].found.startswith(
        ("sms: 1 message waits since", "voice: 1 message waits since")
    )
    assert "the last error: twilio: no connection" in found["deliveries"].found
    assert "abcdefghijklmnop" not in found["deliveries"].found
    assert "serve" not in found["lateness"].todo and "sms" in found["lateness"].todo


def test_the_doctor_asks_whether_anything_runs_only_where_nothing_does(world):
    world.alert()
    world.clock.advance(10 * MINUTE)
    assert "running?" in {one.about: one for one in doctor.examine(world.engine)}["lateness"].todo
    alive(world)
    assert "it runs" in {one.about: one for one in doctor.examine(world.engine)}["lateness"].todo
