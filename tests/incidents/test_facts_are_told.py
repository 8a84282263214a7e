"""A fact type is folded and told: one that was added and forgotten there is noticed here, not on somebody's timeline."""

import pytest

from tocsin.incidents import facts as f
from tocsin.incidents.folding import _HANDLERS
from tocsin.incidents.timeline import _TELLERS

OF_INCIDENTS = [cls for cls in f.TYPES.values() if cls.__module__ == f.__name__]
CHANGES_NOTHING = {f.NoteAdded, f.DecisionMade, f.BrokeGlass, f.Redacted}
"""what stands on the timeline alone"""


def test_every_struct_of_a_fact_is_registered():
    structs = {cls for cls in vars(f).values() if isinstance(cls, type) and issubclass(cls, f.Body)} - {
        f.Body
    }
    assert structs == set(OF_INCIDENTS)


@pytest.mark.parametrize("cls", OF_INCIDENTS, ids=lambda cls: cls.type)
def test_it_has_a_sentence_and_changes_the_state_unless_it_says_not(cls):
    assert cls in _TELLERS
    assert (cls in _HANDLERS) != (cls in CHANGES_NOTHING)
