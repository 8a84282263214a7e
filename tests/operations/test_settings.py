"""Where settings come from, and what stops the start."""

import pytest

from tocsin.kernel.errors import Unusable
from tocsin.settings import OF_THE_CLIENT, SECRETS, load_settings, unknown_variables


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(tmp_path):
    file = tmp_path / "tocsin.toml"
    file.write_text('port = 1\nhost = "::1"\ndata = "here"\n')
    found = load_settings({"port": 3, "host": None}, {"TOCSIN_PORT": "2", "TOCSIN_HOST": "0.0.0.0"}, file)
    assert (found.port, found.host, found.data) == (3, "0.0.0.0", "here")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_a_file_and_not_from_two_places(tmp_path, name):
    hush = "https://hush.example"
    (tmp_path / "secret").write_text(f"{hush}\n")
    variable = f"TOCSIN_{name.upper()}"
    nowhere = tmp_path / "none.toml"
    assert getattr(load_settings({}, {f"{variable}_FILE": str(tmp_path / "secret")}, nowhere), name) == hush
    with pytest.raises(Unusable, match="keep one of them"):
        load_settings({}, {variable: "x", f"{variable}_FILE": str(tmp_path / "secret")}, nowhere)
    with pytest.raises(Unusable, match="cannot be read"):
        load_settings({}, {f"{variable}_FILE": str(tmp_path / "gone")}, nowhere)


def test_a_misspelt_way_to_encrypt_mail_does_not_send_the_password_in_the_clear(tmp_path):
    with pytest.raises(Unusable, match="smtp_tls"):
        load_settings({}, {"TOCSIN_SMTP_TLS": "STARTTLS"}, tmp_path / "none.toml")


@pytest.mark.parametrize(
    "said", ["ntfy.sh", "127.0.0.1:9331", "ftp://ntfy.sh", "https://", "http://ntfy.sh:port"]
)
@pytest.mark.parametrize(
    "name", ["public_url", "heartbeat_url", "ntfy_server", "slack_url", "twilio_url", "pagerduty_url", "egress_proxy"]
)  # fmt: skip
def test_an_address_that_cannot_be_asked_stops_the_start_and_says_where_it_was_set(tmp_path, name, said):
    variable = f"TOCSIN_{name.upper()}"
    with pytest.raises(Unusable, match=rf"{name} \(from {variable}\) .* write it like https://host.example"):
        load_settings({}, {variable: said}, tmp_path / "none.toml")
    file = tmp_path / "tocsin.toml"
    file.write_text(f'{name} = "{said}"\n')
    with pytest.raises(Unusable, match=r"from .*tocsin\.toml"):
        load_settings({}, {}, file)
    assert getattr(load_settings({}, {variable: "http://[::1]:9331/x"}, tmp_path / "none.toml"), name)


def test_a_database_without_its_scheme_is_not_taken_for_a_folder(tmp_path):
    with pytest.raises(Unusable, match=r"--database-url\) cannot be used: .* postgresql://"):
        load_settings({"database_url": "tocsin@db/tocsin"}, {}, tmp_path / "none.toml")


def test_a_variable_that_is_none_is_named_with_the_one_that_was_probably_meant():
    known = dict.fromkeys(
        [*OF_THE_CLIENT, "TOCSIN_SAMPLES", "TOCSIN_NTFY_TOKEN_FILE", "TOCSIN_PORT", "PATH"], "x"
    )
    assert unknown_variables(known) == []
    wrong = {"TOCSIN_NTFY_SERVR": "hush", "TOCSIN_PORT_FILE": "hush", "TOCSIN_QQQ": "hush"}
    server, file, far = unknown_variables({**known, **wrong})
    assert server == "TOCSIN_NTFY_SERVR is not read here: did you mean TOCSIN_NTFY_SERVER?"
    assert "set TOCSIN_PORT" in file and "docs/reference.md" in far
