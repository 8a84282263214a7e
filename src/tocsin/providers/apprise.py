"""Everything else through Apprise (https://github.com/caronc/apprise), an extra: ``pip install tocsin[apprise]``.

Apprise opens its own connections, outside the guard: what it may reach is decided by whoever may edit contacts. Its plug-ins
for files, commands and the local desktop are refused.
"""

from __future__ import annotations

import importlib
from typing import Any

from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.kernel.ports import Message, Receipt

SCHEMES_REFUSED = frozenset({
    "syslog", "dbus", "glib", "gio", "gnome", "kde", "qt", "macosx", "windows", "file", "exec", "console", "sendmail",
})  # fmt: skip


class AppriseChannel:
    """``address`` is an Apprise URL such as ``tgram://token/chat``. Raises :class:`Unusable` where the extra is missing."""

    name = "apprise"
    wakes = False

    def __init__(self) -> None:
        try:
            self._apprise: Any = importlib.import_module("apprise")
        except ImportError:
            raise Unusable("Apprise is not installed; pip install 'tocsin[apprise]'", "apprise") from None

    def deliver(self, message: Message) -> Receipt:
        scheme = message.to.partition("://")[0].lower()
        if scheme in SCHEMES_REFUSED or scheme.startswith(("http", "json", "xml", "form")):
            raise DeliveryFailed(
                f"apprise: {scheme}:// is not used from here; for web hooks there is the webhook contact",
                permanent=True,
            )
        sender = self._apprise.Apprise()
        if not sender.add(message.to):
            raise DeliveryFailed(f"apprise: the {scheme}:// address cannot be read", permanent=True)
        if not sender.notify(title=message.title, body=message.text):
            raise DeliveryFailed(f"apprise: {scheme}:// did not take the message")
        return Receipt("accepted")
