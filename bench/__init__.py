"""Measurements, beside a peer in the same run: ``make bench``, or ``python -m bench intake storm`` for some of them."""
