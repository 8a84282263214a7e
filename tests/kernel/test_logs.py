"""Nothing that is secret stands in a log, however a thing failed."""

import structlog

from tocsin.kernel.logs import configure_log

TOKEN = "toc_" + "4" * 40


def test_a_traceback_shows_no_value_of_any_variable_and_masks_what_its_words_hold(capsys):
    configure_log()
    try:
        log = structlog.get_logger("test")
        password = "correct horse"

        def fail(account: str) -> None:
            raise ValueError(f"refused for token={TOKEN} of {len(account)} letters")

        try:
            fail(password)
        except ValueError:
            log.exception(
                "a step failed", link=f"https://t.example/a/{'b' * 40}", sign_in="/sign-in/" + "c" * 32
            )
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().out
    assert "a step failed" in written
    assert "\x1b" not in written, "colours are for terminals"
    assert "ValueError: refused" in written
    assert "fail(password)" in written, "the traceback itself is there"
    for secret in ("correct horse", TOKEN, "b" * 40, "c" * 32):
        assert secret not in written
