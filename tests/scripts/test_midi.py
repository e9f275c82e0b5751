"""MIDI files: tempo, running status and overlaps as the standard has them; written and read again alike."""

import struct

import pytest
from script_modules import load_script


@pytest.fixture(scope="module")
def midi():
    return load_script("midi")


def file_of(*tracks: bytes, division: int = 96) -> bytes:
    head = struct.pack(">4sIHHH", b"MThd", 6, int(len(tracks) > 1), len(tracks), division)
    return head + b"".join(struct.pack(">4sI", b"MTrk", len(track)) + track for track in tracks)


def test_a_change_of_tempo_applies_from_its_tick_on_to_all_tracks(midi):
    tempo = bytes.fromhex("00ff5103 07a120") + bytes.fromhex("60ff5103 0f4240") + bytes.fromhex("00ff2f00")
    notes = bytes.fromhex("00 903c40 60 803c00 60 903e40 60 803e00 00ff2f00")
    score = midi.read_midi(file_of(tempo, notes))
    assert [(note.start_s, note.end_s, note.pitch) for note in score.notes] == [
        (0.0, 0.5, 60),
        (1.5, 2.5, 62),
    ]
    assert score.beat_s == 0.5


def test_running_status_a_note_on_without_velocity_and_long_deltas_are_read(midi):
    notes = bytes.fromhex("00 993040 8100 3000 00 3150 60 3100 00 c907 00ff2f00")
    score = midi.read_midi(file_of(notes))
    assert [(note.pitch, note.velocity, note.channel) for note in score.notes] == [(48, 64, 9), (49, 80, 9)]
    assert score.notes[0].end_s == pytest.approx(0.5 * 128 / 96)
    assert score.controls == (midi.Control(score.duration_s, 9, 0xC0, (7,)),)


def test_what_is_written_is_read_again_to_a_tick(midi):
    notes = (
        midi.Note(0.0, 1.0, 0, 60, 100),
        midi.Note(0.1234, 0.5, 1, 64, 1),
        midi.Note(1.0, 1.0, 0, 60, 90),
        midi.Note(200.0, 300.0, 9, 35, 127),
    )
    controls = (midi.Control(0.0, 0, 0xC0, (24,)), midi.Control(0.5, 1, 0xE0, (0, 64)))
    again = midi.read_midi(midi.write_midi(midi.Score(notes, controls)))
    for before, after in zip(notes, again.notes, strict=True):
        assert (after.channel, after.pitch, after.velocity) == (before.channel, before.pitch, before.velocity)
        assert after.start_s == pytest.approx(before.start_s, abs=1e-4)
        assert after.end_s == pytest.approx(before.end_s, abs=2e-4)
    assert again.controls == controls


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"RIFF" + bytes(20), "not a MIDI file"),
        (file_of(bytes.fromhex("00 903c40 60 80")), "cut short"),
        (file_of(b"", division=0xE728), "SMPTE"),
        (file_of(bytes.fromhex("00 3c40")), "status"),
    ],
)
def test_what_is_no_midi_file_is_refused(midi, data, message):
    with pytest.raises(ValueError, match=message):
        midi.read_midi(data)
