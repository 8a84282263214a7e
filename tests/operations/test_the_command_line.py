"""What the command line says: in words, whole when it is piped, and without making anything where it cannot start."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import msgspec
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs

from running_site import running
from tocsin import link_requests
from tocsin.app import DEMO_OWNER, DEMO_PASSWORD, build, engine_of, keep_link, open_installation
from tocsin.cli import ALSO_CALLED, alert_command, cli, greet, listening
from tocsin.cli import run as run_process
from tocsin.drill.library import sendings
from tocsin.engine import doctor, overview
from tocsin.engine.admin_people import DEMONSTRATED
from tocsin.engine.administration import administer
from tocsin.engine.changes import AddContact
from tocsin.engine.links import find
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import demo_organisation, record_of
from tocsin.kernel.clock import WEEK, to_iso
from tocsin.kernel.errors import NotFound, Refused, Unusable
from tocsin.oncall.rotations import Rotation
from tocsin.policy.load import default_policy_text, load_policy
from tocsin.providers.console import ConsoleChannel
from tocsin.settings import Settings
from tocsin.web import auth


def run(*arguments, env=None):
    return CliRunner().invoke(cli, [str(one) for one in arguments], env=env)


@pytest.fixture
def site(tmp_path):
    with running(tmp_path / "demo") as one:
        yield one


@pytest.fixture
def verb(site):
    """A verb of the responder's, against the running server."""
    environment = {"TOCSIN_URL": site.url, "TOCSIN_TOKEN": site.token}

    def one(*arguments):
        answer = run(*arguments, env=environment)
        assert answer.exit_code == 0, answer.output
        return answer.output

    return one


# the responder's verbs


def test_where_there_is_nothing_it_is_said_in_words(verb):
    assert verb("list") == "No incident is open.\n"
    assert verb("duties") == "You owe nothing.\n"


def test_each_verb_says_what_happened(verb):
    assert verb("declare", "exports are slow", "--severity", "P3", "--service", "reports").startswith(
        "INC-1 is declared as P3"
    )
    assert verb("ack", "INC-1") == "You have it: INC-1 is P3 and investigating\n"
    assert "incident commander of INC-1" in verb("role", "INC-1", "incident_commander", "chiara")
    assert verb("note", "INC-1", "looking").startswith("Noted on the timeline of INC-1")
    assert "INC-1" in verb("duties") and "Incident" in verb("duties")
    assert "Incident" not in verb("duties", "INC-1")
    assert "First notice" in verb("duties", "INC-1") and "on-call engineer" in verb("duties", "INC-1")
    assert verb("resolve", "INC-1", "--reason", "rolled back").startswith("INC-1 is P3 and resolved")
    assert json.loads(verb("list", "--all", "--json"))["incidents"][0]["name"] == "INC-1"
    assert verb("declare", "a rehearsal", "--severity", "P3", "--drill").startswith(
        "DRILL-1 is declared as P3"
    )


def test_a_status_stands_for_the_move_to_it(verb, site):
    site.alert("payments down", "pay-1")
    verb("ack", "INC-1")
    verb("do", "INC-1", "false_alarm", "reason=a test that nobody announced")
    assert site.api("GET", "/api/v1/incidents/INC-1").json()["status"] == "false_alarm"


def test_nothing_is_cut_when_it_is_piped_and_nothing_is_read_as_markup(verb):
    long = "https://runbooks.fernhill.example/" + "x" * 180
    verb("declare", f"[bold]see[/] {long}", "--severity", "P3")
    shown = verb("list")
    assert f"[bold]see[/] {long}" in shown


def test_without_an_address_of_its_own_the_server_of_the_settings_is_asked(site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    token = {"TOCSIN_TOKEN": site.token}
    for settings in ({"TOCSIN_PUBLIC_URL": site.url + "/"}, {"TOCSIN_PORT": site.url.rpartition(":")[2]}):
        assert run("list", env={**token, **settings}).output == "No incident is open.\n"
    (tmp_path / "tocsin.toml").write_text(f'public_url = "{site.url}"\n')
    assert run("list", env=token).output == "No incident is open.\n"
    assert (
        "127.0.0.1:1: it does not answer"
        in run("list", env={**token, "TOCSIN_URL": "http://127.0.0.1:1"}).output
    )


def test_every_error_names_the_address_that_was_asked(site):
    token = {"TOCSIN_TOKEN": site.token}
    for arguments, environment in (
        (["list"], {"TOCSIN_URL": site.url}),
        (["list"], {"TOCSIN_URL": site.url, "TOCSIN_TOKEN": "toc_unknown"}),
        (["ack", "INC-99"], {"TOCSIN_URL": site.url, **token}),
        (["list"], {"TOCSIN_URL": f"{site.url}/sign-in?", **token}),
    ):
        answer = run(*arguments, env=environment)
        assert answer.exit_code == 1 and f"Error: {site.url}" in answer.output, answer.output


def test_the_help_and_the_first_start_say_how_a_server_is_asked(tmp_path, capsys):
    for arguments in ([], ["ack"], ["figures"], ["policy", "apply"]):
        said = run(*arguments, "--help").output
        assert "TOCSIN_URL: address of the server" in said and "TOCSIN_TOKEN: API token" in said
    tocsin = build(Settings(data=str(tmp_path), public_url="https://tocsin.example.com"))
    try:
        greet(tocsin)
    finally:
        tocsin.close()
    said = capsys.readouterr().out
    assert "  export TOCSIN_URL=https://tocsin.example.com\n" in said
    assert f"  export TOCSIN_TOKEN={tocsin.notes['token']}\n" in said


# the policy


def test_a_policy_with_findings_names_file_and_line_and_ends_with_one(tmp_path):
    assert run("policy", "check").exit_code == 0
    file = tmp_path / "policy.yaml"
    text = default_policy_text()
    file.write_text(text.replace("acknowledge: 5m", "acknowledge: 30m", 1))
    assert file.read_text() != text
    answer = run("policy", "check", file)
    assert answer.exit_code == 1
    line = text[: text.index("acknowledge: 5m")].count("\n") + 1
    assert f"{file}:{line}: error: P1 has 30m to acknowledge" in answer.output


def test_a_policy_that_cannot_be_used_is_an_error_of_its_own(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("severities: [")
    environment = {**os.environ, "PYTHONPATH": str(Path(link_requests.__file__).parent.parent)}
    answer = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", "policy", "check", str(file)], capture_output=True, text=True, env=environment, timeout=60
    )  # fmt: skip
    assert answer.returncode == 2
    assert f"{file}:1" in answer.stderr


def test_what_is_wrong_with_an_applied_policy_is_said_of_its_own_file(site, tmp_path):
    environment = {"TOCSIN_URL": site.url, "TOCSIN_TOKEN": site.token}
    file = tmp_path / "typo.yaml"
    text = default_policy_text()
    file.write_text(text.replace("    acknowledge: 5m", "    acknowlege: 5m", 1))
    answer = run("policy", "apply", file, env=environment)
    line = text[: text.index("    acknowledge: 5m")].count("\n") + 1
    assert answer.exit_code == 2 and f"{file}:{line}: there is no key" in answer.output, answer.output
    file.write_text(text.replace("acknowledge: 5m", "acknowledge: 30m", 1))
    answer = run("policy", "apply", file, env=environment)
    assert answer.exit_code == 1 and f"{file}:" in answer.output, answer.output
    assert "policy.yaml" not in answer.output


# starting


def test_a_port_that_is_taken_is_one_sentence_and_nothing_is_made(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Unusable, match="--port"):
            listening("127.0.0.1", port)
        answer = run("serve", "--data", tmp_path / "new", "--port", port)
    assert isinstance(answer.exception, Unusable) and answer.output == ""
    assert not (tmp_path / "new").exists()


def test_a_host_that_is_none_names_the_option():
    with pytest.raises(Unusable, match="--host"):
        listening("no.such.host.invalid", 0)


@pytest.mark.slow
def test_the_server_listens_on_a_free_port_and_says_which(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(link_requests.__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tocsin.cli", "serve", "--data", str(tmp_path / "d"), "--port", "0"],
        stdout=subprocess.PIPE, text=True, env=environment, cwd=tmp_path,
    )  # fmt: skip
    try:
        url = process.stdout.readline().rpartition(" ")[2].strip()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                assert httpx2.get(f"{url}/healthz", timeout=5).status_code == 200
                break
            except httpx2.HTTPError:
                time.sleep(0.1)
        link = run("link", "owner", "--data", tmp_path / "d")
        assert link.output.startswith(f"{url}/sign-in/")
        assert httpx2.post(link.output.strip(), timeout=10).status_code == 303
    finally:
        process.terminate()
        process.wait(20)


# a sign-in link beside a running server


@pytest.fixture
def served(tmp_path):
    """A server on its data folder, which looks for requests when it is told to."""
    folder = tmp_path / "data"
    tocsin = build(Settings(data=str(folder)))
    tocsin.link_requests.start()
    yield folder, tocsin
    tocsin.close()


def test_a_link_is_made_by_the_server_that_has_the_database(served):
    folder, tocsin = served
    answer = run("link", "owner", "--data", folder)
    assert answer.exit_code == 0, answer.output
    secret = answer.output.strip().rpartition("/")[2]
    assert auth.use_link(tocsin.engine, secret)[1].person == "owner"
    assert list((folder / link_requests.FOLDER).iterdir()) == [], "nothing is left behind"
    assert stat.S_IMODE((folder / link_requests.FOLDER).stat().st_mode) == 0o700


def test_a_link_for_nobody_is_refused_with_the_servers_sentence(served):
    answer = run("link", "nobody", "--data", served[0])
    assert isinstance(answer.exception, Unusable) and "no active person" in answer.exception.sentence


def test_requests_that_are_none_are_thrown_away(served):
    folder, tocsin = served
    place = folder / link_requests.FOLDER
    before = tocsin.store.read(lambda r: len(r.records("sign_in_link")))
    outside = folder.parent / "outside.json"
    outside.write_text('{"person": "owner", "lookup": "' + "a" * 64 + '"}')
    (place / "a.ask").symlink_to(outside)
    (place / "b.ask").write_text("{")
    (place / "c.ask").write_text("x" * 10_000)
    (place / "d.ask").write_text('{"person": "owner", "lookup": "not a hash"}')
    os.mkfifo(place / "e.ask")
    tocsin.link_requests.look()
    time.sleep(2 * link_requests.POLL)
    assert tocsin.store.read(lambda r: len(r.records("sign_in_link"))) == before
    assert not list(place.glob("*.ask"))


def test_a_server_that_does_not_answer_is_said_to(tmp_path):
    place = tmp_path / link_requests.FOLDER
    with pytest.raises(Refused, match="takes no requests"):
        link_requests.ask(tmp_path, "owner")
    place.mkdir()
    with pytest.raises(Refused, match="did not answer"):
        link_requests.ask(tmp_path, "owner", patience=0.2)
    assert list(place.iterdir()) == []


def test_a_link_without_an_installation_makes_none(tmp_path):
    answer = run("link", "owner", "--data", tmp_path / "nowhere")
    assert isinstance(answer.exception, NotFound)
    assert not (tmp_path / "nowhere").exists()


def test_only_the_hash_of_a_secret_is_kept(served):
    with pytest.raises(Unusable):
        keep_link(served[1].engine, "owner", "plain secret")


# the demonstration and the doctor


def test_the_demonstration_has_an_owner_who_can_sign_in_and_nothing_wrong(site):
    answer = httpx2.post(
        site.url + "/sign-in", data={"login": DEMO_OWNER, "password": DEMO_PASSWORD}, timeout=20
    )
    assert answer.status_code == 303
    answer = run("doctor", "--data", site.tocsin.settings.data)
    assert answer.exit_code == 0, answer.output


def test_the_alert_to_paste_pages_somebody_even_after_the_demonstrations_story(site):
    for _, path, event in sendings("demo"):
        httpx2.post(site.url + path, json={"routing_key": site.key, **event}, timeout=10)
    command = alert_command(site.url, site.key)
    body = command.partition(" -d '")[2].removesuffix("'")
    assert httpx2.post(site.url + "/v2/enqueue", content=body, timeout=10).status_code == 202
    incident = site.tocsin.store.read(lambda r: find(r, "INC-3"))
    assert incident.services[0] in site.tocsin.engine.directory().services
    site.wait_for(
        lambda: any(one.thread == incident.id and one.ack_url for one in site.tocsin.phone.messages)
    )


def test_the_phone_of_the_demonstration_takes_pushes_and_text_messages_in_one_order(site):
    push, sms = (site.tocsin.engine.channels[name] for name in ("console", "sms"))
    assert push.messages is sms.messages
    client, _ = site.signed_in()
    site.alert("payments down", "k1")
    site.page_for("chiara")
    assert client.get("/phone").status_code == 200


def test_the_console_is_no_contact_outside_the_demonstration(tmp_path, site):
    assert overview.contact_kinds(site.tocsin.engine) == ["sms", "console"]
    tocsin = build(Settings(data=str(tmp_path / "real"), ntfy_server="https://ntfy.example"))
    try:
        assert overview.contact_kinds(tocsin.engine) == ["ntfy"]
        owner = person_principal("owner", "owner")
        for kind in DEMONSTRATED:
            with pytest.raises(Unusable, match="no kind of contact here"):
                administer(tocsin.engine, owner, AddContact("owner", kind, "here"))
        administer(tocsin.engine, owner, AddContact("owner", "ntfy", "topic"))
    finally:
        tocsin.close()


def test_the_doctor_of_a_fresh_installation_names_the_steps_in_their_order(tmp_path):
    build(Settings(data=str(tmp_path))).close()
    answer = run("doctor", "--data", tmp_path)
    assert answer.exit_code == 1
    steps = [
        line.partition(". ")[2] for line in answer.output.partition("in this order:")[2].splitlines() if line
    ]
    marks = [
        "set a password",
        "set up ntfy",
        "adds a contact",
        "add a schedule",
        "make a team",
        "incident commanders",
    ]
    places = [next(at for at, step in enumerate(steps) if mark in step) for mark in marks]
    assert places == sorted(places)


def test_the_doctor_names_an_address_that_the_guard_lets_no_message_out_to(tmp_path):
    build(Settings(data=str(tmp_path))).close()
    environment = {"TOCSIN_NTFY_SERVER": "http://127.0.0.1:9331"}

    def addresses(**more):
        answer = run("doctor", "--data", tmp_path, "--json", env={**environment, **more})
        return [one for one in json.loads(answer.output) if one["about"] == "addresses"]

    (found,) = addresses()
    assert found["level"] == "fail" and "inside the network" in found["found"]
    assert "add 127.0.0.1 to TOCSIN_EGRESS_ALLOW" in found["todo"]
    assert [one["level"] for one in addresses(TOCSIN_EGRESS_ALLOW="127.0.0.1")] == ["ok"]


def test_the_doctor_and_the_server_warn_of_a_variable_that_is_none(tmp_path, monkeypatch):
    build(Settings(data=str(tmp_path))).close()
    environment = {"TOCSIN_NTFY_SERVR": "https://ntfy.example"}
    found = json.loads(run("doctor", "--data", tmp_path, "--json", env=environment).output)
    assert [one["level"] for one in found if one["about"] == "settings"] == ["warn"]
    monkeypatch.setenv("TOCSIN_NTFY_SERVR", "https://ntfy.example")
    with capture_logs() as said, pytest.raises(Unusable, match="shares one PostgreSQL"):
        run_process(Settings(data=str(tmp_path)), "worker")
    assert [one["event"] for one in said] == [
        "TOCSIN_NTFY_SERVR is not read here: did you mean TOCSIN_NTFY_SERVER?"
    ]


def test_the_doctor_names_whom_the_chain_of_a_p1_asks_in_vain_and_where_that_is_set(site):
    engine, now = site.tocsin.engine, site.tocsin.engine.clock.now()
    assert [one for one in doctor.examine(engine) if one.about in ("chain", "zones", "policy")] == []
    organisation = demo_organisation(now)
    people = [
        msgspec.structs.replace(one, org_roles=tuple(set(one.org_roles) - {"ceo"}))
        for one in organisation.people
    ]
    first, *rest = organisation.teams
    teams = [msgspec.structs.replace(first, engineering_lead=""), *rest]
    engine.put_records([record_of(one, now) for one in (*people, *teams)])
    (found,) = [one for one in doctor.examine(engine) if one.about == "chain"]
    assert found.level == "warn" and "ceo" in found.found and "engineering_lead (for " in found.found
    assert "engineering lead of each team under Services" in found.todo
    assert "give somebody ceo under People" in found.todo


def test_the_doctor_notices_working_hours_in_another_zone_than_the_organisations():
    directory = demo_organisation(0).directory()
    policy = load_policy(default_policy_text().replace("zone: UTC ", "zone: Asia/Tokyo ", 1))
    found = [one for one in doctor.policy_findings(policy, directory, 0) if one.about == "zones"]
    assert [one.level for one in found] == ["warn"]
    assert directory.settings.zone in found[0].found and "Asia/Tokyo" in found[0].found
    zone = directory.settings.zone
    policy = load_policy(default_policy_text().replace("zone: UTC ", f"zone: {zone} ", 1))
    assert [one for one in doctor.policy_findings(policy, directory, 0) if one.about == "zones"] == []


def test_the_doctor_says_which_position_is_empty_and_only_warns_of_a_secondary(site):
    engine, now = site.tocsin.engine, site.tocsin.engine.clock.now()
    first, *_ = demo_organisation(now).schedules
    later = Rotation("later", first.rotations[0].members, to_iso(now + WEEK)[:16])

    def gaps(schedule):
        engine.put_records([record_of(schedule, now)])
        found = [one for one in doctor.examine(engine) if one.about == "on call"]
        return {(one.level, one.found.partition(" from ")[0]) for one in found}

    assert gaps(msgspec.structs.replace(first, secondary=(later,))) == {
        ("warn", f"nobody is secondary of {first.name}")
    }
    assert gaps(msgspec.structs.replace(first, rotations=(later,), secondary_offset=0)) == {
        ("fail", f"nobody is primary of {first.name}")
    }


@pytest.mark.semantics(15)
def test_a_contact_whose_channel_is_not_configured_wakes_nobody(site, tmp_path):
    engine = site.tocsin.engine
    assert overview.will_not_wake(engine) == []
    engine.channels.pop("sms")
    engine.channels.pop("console")
    engine.channels["ntfy"] = ConsoleChannel("ntfy")
    said = overview.will_not_wake(engine)
    assert said and all("no console and sms channel is configured here" in one for one in said)
    assert any(one.about == "waking" and one.level == "fail" for one in doctor.examine(engine))


def test_the_doctor_knows_a_demonstration_by_its_mark(site):
    opened = open_installation(Settings(data=site.tocsin.settings.data), read_only=True)
    try:
        assert opened.settings.demo
        engine = engine_of(opened, ConsoleChannel())
        found = {one.about: one for one in doctor.examine(engine)}
        assert msgspec.to_builtins(found["channels"])["level"] == "ok"
    finally:
        opened.store.close()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("acknowledge", "ack"),
        ("incidents", "list"),
        ("show", "timeline"),
        ("timelin", "timeline"),
        ("acknowlege", "ack"),
    ],
)
def test_a_command_that_there_is_not_names_the_one_that_was_meant(said, meant):
    answer = CliRunner().invoke(cli, [said, "INC-1"])
    assert answer.exit_code == 2 and f"There is no command {said!r}: try tocsin {meant}" in answer.output


def test_every_word_that_people_try_leads_to_a_command_that_there_is():
    assert set(ALSO_CALLED.values()) <= set(cli.commands) and not set(ALSO_CALLED) & set(cli.commands)
    assert "No such command" in CliRunner().invoke(cli, ["xyzzy"]).output
