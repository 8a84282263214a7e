"""Alerts as the one writer of a database last wrote them, so that a sender who repeats one costs no reading."""

from __future__ import annotations

from collections import OrderedDict

from tocsin.kernel.ports import AlertRow

Key = tuple[str, str]
"""integration and dedup key"""


class Kept(OrderedDict[Key, AlertRow]):
    """Rows by their key as the one writer of a database last wrote them. Whoever takes one out owns it, and it is back here once
    it is written again; what was rolled back is forgotten.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, key: Key, row: AlertRow) -> None:
        """Remembers a row that was written as a whole; beyond ``most`` the one that nobody wrote for longest goes."""
        self[key] = row
        self.move_to_end(key)
        if len(self) > self.most:
            self.popitem(last=False)

    def give_back(self, key: Key, row: AlertRow) -> None:
        """Remembers a row of which a part was written by whoever took it out. Where it is here again, somebody else wrote it
        meanwhile: then neither is the whole truth.
        """
        if self.pop(key, None) is None:
            self.keep(key, row)
