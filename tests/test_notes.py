import json

import numpy as np
import pytest

from bayes_scaling.notes import Note, read_notes, write_notes

PLAIN = Note("few_runs", "warning", "vision has 3 finished runs.")
FULL = Note("few_runs", "warning", "vision has 3 finished runs.", {"modality": "vision"}, {"runs": 3})


def written(*notes):
    attrs = {}
    write_notes(attrs, notes)
    return attrs


def test_a_note_without_details_keeps_the_three_keys():
    assert PLAIN.to_dict() == {"code": "few_runs", "severity": "warning", "message": "vision has 3 finished runs."}


def test_details_are_two_keys_more():
    found = FULL.to_dict()
    assert found.keys() - PLAIN.to_dict().keys() == {"about", "numbers"}
    assert found["about"] == {"modality": "vision"}
    assert found["numbers"] == {"runs": 3.0}


@pytest.mark.parametrize("notes", [(), (PLAIN,), (FULL, PLAIN)])
def test_what_is_written_is_read(notes):
    assert read_notes(written(*notes)) == list(notes)


def test_numbers_are_plain_json_and_finite():
    note = Note("a", "info", "b", {"run_id": np.str_("r1")}, {"x": np.float64(1.5), "n": np.int64(2), "p": np.nan})
    kept = json.loads(written(note)["notes"])[0]
    assert kept["numbers"] == {"x": 1.5, "n": 2.0}
    assert kept["about"] == {"run_id": "r1"}


def test_a_repeated_note_is_kept_once_and_a_different_one_is_not():
    other = Note(FULL.code, FULL.severity, FULL.message, FULL.about, {"runs": 4})
    assert read_notes(written(FULL, PLAIN, FULL, other)) == [FULL, PLAIN, other]


def test_notes_can_be_keys():
    assert {FULL: 1, PLAIN: 2}[Note(**vars(FULL))] == 1


def test_files_of_other_versions_are_read():
    assert read_notes({}) == []
    old = {"code": "few_runs", "severity": "warning", "message": "vision has 3 finished runs."}
    assert read_notes({"notes": json.dumps([old])}) == [PLAIN]
    assert read_notes({"notes": json.dumps([old | {"of_tomorrow": [1]}])}) == [PLAIN]
