"""A process that writes until it is killed, and prints the name of each write once it was acknowledged."""

from __future__ import annotations

import os
import sys
import threading

from tocsin.store import open_store


def write_for_ever(store, thread: int) -> None:
    number = 0
    while True:
        number += 1
        name = f"{thread}-{number}"
        store.write(lambda tx, name=name: tx.put_meta(f"acked/{name}", b"1"))
        os.write(1, f"{name}\n".encode())


if __name__ == "__main__":
    opened = open_store(sys.argv[1])
    threads = [threading.Thread(target=write_for_ever, args=(opened, n)) for n in range(4)]
    for thread in threads:
        thread.start()
