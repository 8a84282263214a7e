"""Running Tocsin by its commands: the doctor, a copy and its return, the tamper check, a second process."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import tocsin as tocsin_package
from tocsin.app import build
from tocsin.cli import cli, main
from tocsin.engine import commands as c
from tocsin.engine.doctor import public_url_findings
from tocsin.identity.principals import person_principal
from tocsin.kernel.errors import NotFound, Refused, Unusable
from tocsin.settings import Settings

OWNER = person_principal("owner", "owner")


@pytest.fixture
def installation(tmp_path):
    """A data folder with one incident; nobody uses it."""
    folder = tmp_path / "data"
    tocsin = build(Settings(data=str(folder)))
    tocsin.engine.execute(OWNER, c.Declare("payments down", severity="P1"))
    while tocsin.engine.step():
        pass
    tocsin.close()
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def findings(folder):
    answer = run("doctor", "--data", folder, "--json")
    return answer.exit_code, {(one["level"], one["about"]): one["found"] for one in json.loads(answer.output)}


def test_the_doctor_names_what_keeps_a_fresh_installation_from_waking_anybody(installation):
    code, found = findings(installation)
    assert code == 1
    assert ("fail", "owners") in found
    assert "nobody is on call" in found["fail", "on call"]
    assert ("ok", "database") in found
    assert ("ok", "seal") in found


def test_a_key_file_that_others_can_read_is_a_failure(installation):
    assert ("ok", "key file") in findings(installation)[1]
    (installation / "tocsin.key").chmod(0o644)
    assert ("fail", "key file") in findings(installation)[1]


def test_a_key_file_that_is_missing_or_anothers_is_a_failure_and_whoever_reads_makes_none(installation):
    key = installation / "tocsin.key"
    key.write_bytes(b"x" * 32)
    assert "not the key that this database was begun with" in findings(installation)[1]["fail", "key file"]
    key.unlink()
    code, found = findings(installation)
    assert code == 1 and found["fail", "key file"] == f"there is no {key}"
    answer = run("verify", "INC-1", "--data", installation)
    assert isinstance(answer.exception, NotFound) and str(key) in answer.exception.sentence
    assert run("policy", "check", "--data", installation).exit_code in (0, 1)
    assert run("backup", installation / "copy.jsonl.gz", "--data", installation).exit_code == 0
    assert "/sign-in/" in run("link", "owner", "--data", installation).output
    assert not key.exists()


def test_whoever_reads_makes_no_folder(tmp_path):
    for command in (["doctor"], ["backup", tmp_path / "copy"], ["policy", "check"]):
        assert run(*command, "--data", tmp_path / "nowhere").exit_code != 0
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.semantics(16)
@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("http://127.0.0.1:8080", "fail"),
        ("http://tocsin.example", "fail"),
        ("https://localhost", "fail"),
        ("https://tocsin.example", "ok"),
    ],
)
def test_links_that_no_telephone_can_open_are_a_failure_once_there_is_a_real_channel(url, level):
    assert [one.level for one in public_url_findings(url, ["console", "ntfy"])] == [level]
    assert [one.level for one in public_url_findings(url, ["console"])] == ["warn"]


def test_a_backup_comes_back_held_and_pages_again_once_it_is_released(installation, tmp_path):
    copy, back = tmp_path / "copy.jsonl.gz", tmp_path / "back"
    written = run("backup", copy, "--data", installation)
    assert written.exit_code == 0
    assert f"a copy of {installation / 'tocsin.key'} too, apart from it" in written.output
    said = run("restore", copy, "--data", back).output
    assert (
        "held" in said
        and f"there is no {back / 'tocsin.key'}: before it starts, copy tocsin.key there" in said
    )
    assert back.stat().st_mode & 0o077 == 0, "nobody else looks into the folder"
    assert ("fail", "held") in findings(back)[1]
    (back / "tocsin.key").write_bytes((installation / "tocsin.key").read_bytes())
    tocsin = build(Settings(data=str(back)))
    assert tocsin.engine.incident(OWNER, "INC-1").title == "payments down"
    assert tocsin.engine.step() == 0, "nothing leaves a copy that is held"
    tocsin.close()
    assert run("restore", "--release", "--data", back).exit_code == 0
    assert ("fail", "held") not in findings(back)[1]


def test_releasing_what_is_not_held_is_refused(installation):
    assert isinstance(run("restore", "--release", "--data", installation).exception, Refused)
    assert run("restore").exit_code == 2


def test_an_incident_and_its_export_are_whole_until_somebody_touches_them(installation, tmp_path):
    assert "unbroken" in run("verify", "INC-1", "--data", installation).output
    tocsin = build(Settings(data=str(installation)))
    export = tocsin.engine.export(OWNER, "INC-1")
    tocsin.close()
    whole = tmp_path / "whole.jsonl"
    whole.write_bytes(export)
    facts = len(export.splitlines()) - 2
    assert f"sealed up to fact {facts} of {facts}, last at" in run("verify", whole).output
    lines = export.splitlines(keepends=True)
    for name, bad, said in (
        ("changed", export.replace(b"payments down", b"payments fine", 1), "body"),
        ("cut", b"".join([*lines[:-2], lines[-1]]), "head names"),
        ("beheaded", b"".join(lines[:-1]), "cut off"),
    ):
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(bad)
        answer = run("verify", file)
        assert answer.exit_code == 1, name
        assert said in answer.output, answer.output
    other = tmp_path / "other.jsonl"
    other.write_bytes(export)
    assert run("verify", other, "--key", "00" * 32).exit_code == 1, "a seal by another key does not count"


def test_seals_older_than_the_incident_do_not_count_for_it(installation):
    tocsin = build(Settings(data=str(installation)))
    tocsin.engine.execute(OWNER, c.Declare("exports are slow", severity="P3"))
    tocsin.close()
    sealed = run("verify", "INC-1", "--data", installation).output
    facts = sealed.partition(" ")[0]
    assert f"sealed up to fact {facts} of {facts}, last at" in sealed, sealed
    later = run("verify", "INC-2", "--data", installation).output
    assert later.endswith("; not sealed yet\n"), later


def test_a_second_process_on_one_data_folder_is_told_who_has_it(installation):
    tocsin = build(Settings(data=str(installation)))
    try:
        with pytest.raises(Refused, match="in use by another Tocsin process"):
            build(Settings(data=str(installation)))
        assert findings(installation)[0] == 1, "the doctor looks beside a running server"
    finally:
        tocsin.close()


def test_the_key_file_is_for_its_owner_alone(installation):
    assert stat.S_IMODE(Path(installation / "tocsin.key").stat().st_mode) == 0o600


def test_the_database_is_for_its_owner_alone_in_a_folder_that_others_look_into(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(0o755)
    before = os.umask(0o022)
    try:
        tocsin = build(Settings(data=str(folder)))
    finally:
        os.umask(before)
    try:
        made = {one.name: stat.S_IMODE(one.stat().st_mode) for one in folder.iterdir() if one.is_file()}
    finally:
        tocsin.close()
    assert {"tocsin.db", "tocsin.db-wal", "tocsin.db-shm"} <= set(made)
    assert set(made.values()) == {0o600}
    assert findings(folder)[1]["warn", "data folder"] == f"{folder} can be read by others (mode 755)"


def test_a_database_that_others_can_read_is_warned_of(installation):
    assert not [key for key in findings(installation)[1] if key[1] == "data folder"]
    database = installation / "tocsin.db"
    database.chmod(0o644)
    assert findings(installation)[1]["warn", "data folder"] == f"{database} can be read by others (mode 644)"


def test_migrate_says_that_there_is_nothing_to_do(installation):
    assert "already" in run("migrate", "--data", installation).output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_the_program(shell):
    assert "tocsin" in run("completion", shell).output


def test_a_worker_alone_needs_a_database_that_others_share(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tocsin", "worker", "--data", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "TOCSIN_DATABASE_URL" in capsys.readouterr().err


def test_a_link_is_the_way_back_in_for_an_owner(installation):
    assert "/sign-in/" in run("link", "owner", "--data", installation).output
    assert run("link", "nobody", "--data", installation).exit_code == 1


def test_another_key_than_the_database_was_begun_with_stops_the_start_with_what_to_do(tmp_path):
    data = str(tmp_path / "data")
    build(Settings(data=data)).close()
    build(Settings(data=data)).close()
    key = tmp_path / "data" / "tocsin.key"
    key.write_bytes(b"x" * 32)
    with pytest.raises(Refused, match="not the key that this database was begun with"):
        build(Settings(data=data))
    key.unlink()
    with pytest.raises(Refused, match=r"there is no .*tocsin\.key: .* put the right file there"):
        build(Settings(data=data))
    assert not key.exists(), "a new one would open nothing"
    answer = CliRunner().invoke(cli, ["migrate", "--data", data, "--new-key"])
    assert answer.exit_code == 0, answer.output
    assert "make the keys of the integrations anew" in answer.output
    build(Settings(data=data)).close()


@pytest.mark.parametrize("below", ["file", "file/data"])
def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path, below):
    (tmp_path / "file").write_text("")
    for command in (["serve", "--port", "0"], ["migrate"]):
        answer = run(*command, "--data", tmp_path / below)
        assert isinstance(answer.exception, Unusable), answer.exception
        assert "cannot be made a data folder" in answer.exception.sentence


@pytest.mark.parametrize("command", ["serve", "doctor"])
def test_postgresql_without_its_driver_names_the_extra(tmp_path, command):
    program = (
        "import sys; sys.modules['psycopg'] = sys.modules['psycopg_pool'] = None\n"
        "from tocsin.cli import main\n"
        f"sys.argv = ['tocsin', {command!r}, '--data', {str(tmp_path / 'd')!r}, '--database-url', 'postgresql://db/tocsin']\n"
        "main()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(tocsin_package.__file__).parent.parent), "TOCSIN_PORT": "0"},
    )  # fmt: skip
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr == "tocsin: PostgreSQL's driver is not installed; pip install 'tocsin[postgres]'\n"
