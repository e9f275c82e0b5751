"""Maps of our parameters to those of plug-ins."""

import pytest

from mixagent.pipeline.errors import InputError
from mixagent.pipeline.plugins.library import Plugin, PluginParameter
from mixagent.pipeline.plugins.maps import QUANTITIES, PluginMap, all_maps, map_of, user_maps_folder

GOOD = {
    "plugin": "Toy",
    "effect": "comp",
    "places": ["strip"],
    "fixed": {"mode": "Soft", "on": True},
    "follows": {"amount": {"of": "ratio", "times": 2, "plus": 1}, "attack": "attack_ms"},
}


def plugin(*keys, version="1.0"):
    rows = tuple(PluginParameter(key, key, "", 0.0, 1.0, 0.0) for key in keys)
    return Plugin("/Toy.vst3", "", "0", "Toy", version, "us", "Fx", "id", False, 0, (2,), rows)


def test_every_map_that_ships_is_one():
    maps = all_maps()
    assert {row.plugin for row in maps} >= {
        *("ZamCompX2", "ZaMultiCompX2", "ZamDynamicEQ", "ZaMaximX2", "Dragonfly Hall Reverb")
    }
    assert {row.plugin for row in maps if not row.tried} == {
        "RoughRider3",
        "TDR Nova",
        "ValhallaSupermassive",
    }
    for row in maps:
        row.values(dict.fromkeys(QUANTITIES[row.effect], 1.0))
        assert PluginMap.from_json(row.to_json(), "itself") == row


def test_a_map_follows_our_parameters():
    found = PluginMap.from_json(GOOD, "here")
    values = found.values({**dict.fromkeys(QUANTITIES["comp"], 0.0), "ratio": 4.0, "attack_ms": 7.0})
    assert values == {"mode": "Soft", "on": True, "amount": 9.0, "attack": 7.0}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"effect": "flanger"}, "flanger"),
        ({"places": []}, "no place"),
        ({"follows": {"amount": "warmth"}}, "warmth"),
        ({"follows": {"amount": {"of": "ratio", "power": 2}}}, "power"),
        ({"fixed": {"on": [1]}}, "float"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_map_is_told_in_a_line(change, word):
    with pytest.raises(InputError, match=word) as raised:
        PluginMap.from_json({**GOOD, **change}, "toy.yaml")
    assert str(raised.value).startswith("toy.yaml is no map of a plug-in: ")
    assert "\n" not in str(raised.value)


def test_a_parameter_that_another_version_lacks_is_named():
    found = PluginMap.from_json({**GOOD, "tried": "1.0"}, "here")
    found.check(plugin("mode", "on", "amount", "attack"))
    with pytest.raises(InputError, match=r"Toy 2\.0 has no parameter amount.* in version 1\.0"):
        found.check(plugin("mode", "on", "attack", version="2.0"))


def test_a_map_of_the_user_comes_first(data_folder):
    folder = user_maps_folder()
    folder.mkdir(parents=True)
    text = "plugin: zamcompx2\neffect: comp\nplaces: [master]\n"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    assert map_of("ZamCompX2", "comp").places == ("master",)
    (folder / "mine.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.yaml is not YAML"):
        map_of("ZamCompX2", "comp")
