"""A track's name says what it holds, in several languages, whatever numbers and takes stand around it."""

import pytest

from mixagent.pipeline.multitrack.names import named, names_of, sides_of, words_of

NAMES = {
    "vocals": """
        Lead Vox; 01_LeadVox-2 (take 3); BV 2; bgvs; Backing Vocals L; VocalDbl; choir; Stimme; Gesang_03;
        voix lead; coros; voce principale; вокал; ボーカル; 人声; 보컬; Hintergrundgesang; Adlibs;
        rap verse 2; 01 song - vocals; Voc.04; LdVox; Harmony High
    """,
    "drums": """
        Kick In; kik_out; BD; Snare Top; SN btm; snr; HH; Hi-Hat; OH L; Overheads; drm_loop; Toms; Floor Tom;
        Perc 2; shaker; 808 kick; bass drum; Kick Sub; Drums Room; Schlagzeug; batterie; caisse claire;
        bateria; bombo; барабаны; ドラム; 鼓; Ride; claps; cowbell; Drum Machine; clap 2; rim; Room Mics;
        KickDrum
    """,
    "bass": """
        Bass; bs 1; Bass DI; Bass Amp; synth bass; Sub; E-Bass; basse; bajo; baixo; Kontrabass; бас; ベース;
        Moog Bass; Upright Bass; BassGtr; 808; Bass Guitar
    """,
    "piano": "Piano; Keys 1; Rhodes; E-Piano; wurli; Klavier; teclado; пианино; ピアノ; KEYS_L; Clav",
    "guitar": """
        GTR; gtr_02; Elec Gtr L; Ac Guitar; acoustic; Gitarre; guitarra; chitarra; гитара; ギター; banjo;
        AcGtr1; Strat DI; Les Paul; E-Git; dist riff
    """,
    "other": """
        Synth Lead; Pad; strings; Violins 1; brass; sax; FX riser; Organ; Hammond; arp; Streicher; cuerdas;
        скрипка; Vox Pad; Choir Pad; Bass Clarinet; noise sweep; Bells; Other; Vocal Synth; sfx
    """,
    "accompaniment": "Instrumental; karaoke; accompaniment; backing track; minus one; No Vocals; Playback",
    "residual": "residual; 03 song - residual",
    "mix": "Mix; final mix; Song Master v2; bounce; 2mix; Stereo Out; rough mix; Mixdown; микс; マスター",
    "click": "Click; metronome; count in; clicktrack; SMPTE; guide",
}


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name.strip()) for kind, names in NAMES.items() for name in names.split(";")],
)
def test_a_name_says_what_it_holds(kind, name):
    found = named(words_of(name))
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize("name", ["take 3", "Audio 01", "a", "", "123", "Bob", "final_v2_new", "L", "曲"])
def test_a_name_without_a_word_for_it_says_nothing(name):
    assert named(words_of(name)) is None


def test_an_instrument_s_word_overrules_mix_and_click():
    assert named(words_of("Guitar Mix")).kind == "guitar"
    assert named(words_of("Drum Bounce")).kind == "drums"


def test_what_all_names_begin_with_is_the_song_s_title():
    songs = ["Bass Drum Blues - 01 Vox", "Bass Drum Blues - 02 Gtr", "Bass Drum Blues - 03"]
    found = names_of(songs)
    assert [one.kind for one in found[:2]] == ["vocals", "guitar"]
    # A number says nothing, so the title is all there is.
    assert found[2].kind == "drums"


def test_one_name_alone_has_no_title():
    assert [found.kind for found in names_of(["Bass"])] == ["bass"]


def test_the_two_sides_of_a_pair_are_found_and_a_side_alone_is_none():
    names = ["Room.L", "Room.R", "OH_Left", "OH_Right", "Gtr L", "Keys-r", "VoxL", "VoxR", "Hall", "Her"]
    assert sides_of(names) == {0: -1, 1: 1, 2: -1, 3: 1, 6: -1, 7: 1}


def test_two_left_sides_of_one_name_are_no_pair():
    assert sides_of(["Gtr L", "gtr l", "Gtr R"]) == {}
