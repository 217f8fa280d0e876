"""Roles of features, and the directions that follow."""

from __future__ import annotations

import pytest

from isotone import Threat
from isotone.errors import BadInput, NoMatch

NAMES = ["api::exec", "api::send", "age", "timestamp", "prevalence"]

ROLES = [
    # roles, directions without what is set, what is left out, why
    ({}, (1, 1, 1, 1, 1), (), "by default everything can be added"),
    ({"adds": "api::*"}, (1, 1, 0, 0, 0), (), "what no role names is taken to be out of reach"),
    ({"adds": "*", "removes": "age"}, (1, 1, -1, 1, 1), (), "a name says more than a glob"),
    ({"adds": "*", "removes": "a*", "sets": "time*"}, (-1, -1, -1, 1), ("timestamp",), "a glob says more than *"),
    ({"adds": "a*", "sets": "api::s*"}, (1, 1, 0, 0), ("api::send",), "what can be set can be added too"),
    ({"adds": "*", "trusted": "prev*"}, (1, 1, 1, 1, 0), (), "trusted is out of reach"),
    ({"adds": "*", "trusted": "*", "removes": "age"}, None, (), "two roles for everything"),
    (
        {"adds": "api::*", "trusted": ("age", "timestamp", "prevalence")},
        (1, 1, 0, 0, 0),
        (),
        "every feature has a role",
    ),
]


@pytest.mark.parametrize(("said", "directions", "out", "why"), ROLES, ids=[row[-1] for row in ROLES])
def test_roles_become_directions_and_what_is_set_at_will_is_left_out(said, directions, out, why):
    threat = Threat(**said)
    if directions is None:
        with pytest.raises(BadInput, match="adds and in trusted"):
            threat.roles(NAMES)
        return
    kept = threat.kept(NAMES)
    assert set(NAMES) - set(kept) == set(out), why
    assert tuple(d for d, n in zip(threat.order(NAMES), NAMES, strict=True) if n in kept) == directions, why
    assert Threat.of(threat.to_dict()) == threat


WRONG = [
    ({"adds": "apl::*"}, NoMatch, "matches no feature", "a glob that matches nothing"),
    ({"adds": "a*", "removes": "ag*"}, BadInput, "both added and removed", "globs as specific as each other"),
    ({"adds": "age", "removes": "age"}, BadInput, "both added and removed", "one name twice"),
    ({"adds": "api::*", "trusted": "age"}, BadInput, "'timestamp' has no role", "trusted given: nothing is assumed"),
    ({"adds": "age", "trusted": "age"}, BadInput, "in adds and in trusted", "reach and out of reach"),
]


@pytest.mark.parametrize(("said", "kind", "sentence", "why"), WRONG, ids=[row[-1] for row in WRONG])
def test_roles_that_contradict_each_other_are_refused(said, kind, sentence, why):
    with pytest.raises(kind, match=sentence):
        Threat(**said).roles(NAMES)


def test_a_feature_set_at_will_has_no_direction():
    with pytest.raises(BadInput, match=r"'timestamp' is set at will .* Threat.kept"):
        Threat(sets="timestamp").directions(NAMES)


def test_a_threat_is_read_from_toml(tmp_path):
    file = tmp_path / "threat.toml"
    file.write_text('[threat]\nadds = ["api::*"]\nsets = "time*"\n')
    assert Threat.load(file) == Threat(adds="api::*", sets="time*")


TOML = [
    ("adds = [", "it is no TOML", "broken"),
    ('add = ["a"]', "the key 'add' came", "a word that is no role"),
    ("adds = [1]", "adds holds 1", "a number"),
    ("adds = 3", "adds holds 3", "a number without a list"),
    ("adds = {a = 1}", "adds holds {'a': 1}", "a table"),
    ("threat = 3", "3 came", "no table"),
]


@pytest.mark.parametrize(("text", "sentence", "why"), TOML, ids=[row[-1] for row in TOML])
def test_a_threat_file_that_is_wrong_is_one_sentence(text, sentence, why, tmp_path):
    file = tmp_path / "threat.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        Threat.load(file)


def test_what_is_not_covered_is_said_for_every_role():
    told = Threat(adds="api::*", removes="age", sets="timestamp").roles(NAMES).told()
    assert told.index("covered:") < told.index("not covered:")
    assert "removing or lowering any of api::exec, api::send" in told
    assert "changing prevalence: taken to be out of the attacker's reach" in told


def test_a_features_own_name_is_no_pattern():
    """x[1] as a glob names x1, which would be trusted with it, and nothing guards against what is trusted."""
    roles = Threat(adds="*", trusted="x[1]").roles(["x[1]", "x1", "y"])
    assert (roles.trusted, roles.added) == (("x[1]",), ("x1", "y"))


def test_keys_beside_the_table_of_a_threat_are_refused():
    with pytest.raises(BadInput, match=r"the key 'sets' came beside \[threat\]"):
        Threat.parse('sets = ["timestamp"]\n[threat]\nadds = ["*"]')
