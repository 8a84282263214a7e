"""Drills: a scenario, a clock that is moved, twins for the channels, and the real engine between them."""

from tocsin.drill.library import find, names
from tocsin.drill.report import as_json, table
from tocsin.drill.runner import Result, run
from tocsin.drill.scenario import Scenario, load_scenario

__all__ = ["Result", "Scenario", "as_json", "find", "load_scenario", "names", "run", "table"]
