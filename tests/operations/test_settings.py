"""Where settings come from, and what stops the start."""

import pytest

from tocsin.kernel.errors import Unusable
from tocsin.settings import SECRETS, load_settings


def test_a_flag_beats_a_variable_and_a_variable_beats_the_file(tmp_path):
    file = tmp_path / "tocsin.toml"
    file.write_text('port = 1\nhost = "::1"\ndata = "here"\n')
    found = load_settings({"port": 3, "host": None}, {"TOCSIN_PORT": "2", "TOCSIN_HOST": "0.0.0.0"}, file)
    assert (found.port, found.host, found.data) == (3, "0.0.0.0", "here")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_comes_from_a_file_and_not_from_two_places(tmp_path, name):
    (tmp_path / "secret").write_text("hush\n")
    variable = f"TOCSIN_{name.upper()}"
    nowhere = tmp_path / "none.toml"
    assert getattr(load_settings({}, {f"{variable}_FILE": str(tmp_path / "secret")}, nowhere), name) == "hush"
    with pytest.raises(Unusable, match="keep one of them"):
        load_settings({}, {variable: "x", f"{variable}_FILE": str(tmp_path / "secret")}, nowhere)
    with pytest.raises(Unusable, match="cannot be read"):
        load_settings({}, {f"{variable}_FILE": str(tmp_path / "gone")}, nowhere)


def test_a_misspelt_way_to_encrypt_mail_does_not_send_the_password_in_the_clear(tmp_path):
    with pytest.raises(Unusable, match="smtp_tls"):
        load_settings({}, {"TOCSIN_SMTP_TLS": "STARTTLS"}, tmp_path / "none.toml")
