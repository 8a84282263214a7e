"""What everything stands on: time, randomness, errors, facts and the ports to the outside. Imports nothing of Tocsin's."""
