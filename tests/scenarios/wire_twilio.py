"""A text message as Twilio posts it."""


def form_of(text, sender, to="+15005550006"):
    return [
        ("MessageSid", "SM" + "2" * 32), ("AccountSid", "AC" + "1" * 32), ("From", sender), ("To", to), ("Body", text), ("NumMedia", "0"),
    ]  # fmt: skip
