"""Tocsin: alerts come in, the right person is paged, the incident is run and resolved, and every promise is kept score of."""

__version__ = "0.1.0"
