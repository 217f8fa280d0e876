"""What can silently be wrong in benchmarks/graphs.py: names that tell the label, edges of masked imports, splits."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.slow  # it tests a benchmark, not the library

BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"


def part(name):
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(BENCHMARKS))


programs, models = part("_graphs.programs"), part("_graphs.models")


@pytest.fixture
def found(tmp_path):
    rows = [
        {
            "sha256": str(i), "source": f"s{i // 2}", "n_func": 2, "ninstr": [3, 9],
            "imports": ["socket", "puts", "fork"],
            "edges": [[0, 1], [0, 2], [1, 3], [1, 4]], "net": 1, "exec": i % 2, "priv": 0,
        }
        for i in range(40)
    ]  # fmt: skip
    (tmp_path / "debian_fcg").mkdir()
    with gzip.open(tmp_path / "debian_fcg" / "graphs.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return programs.read(tmp_path)


def test_names_that_make_a_label_are_no_nodes_and_their_calls_no_edges(found):
    assert found[0].imports == ("puts",)
    assert found[0].edges == ((0, 1), (1, 2))
    assert {"socket", "connect", "execve", "system", "setuid", "fork", "getuid"} <= programs.HIDDEN
    one = programs.graph(found[0], {"puts": 2})
    assert one.x[:, 2].tolist() == [0.0, 0.0, 2.0]
    assert one.edge_index.tolist() == [[1, 2], [0, 1]]  # from what is called to its caller


def test_source_packages_are_on_one_side(found):
    train, validation, test = programs.parts(found, 0)
    assert sorted(train + validation + test) == list(range(len(found)))
    sources = [{found[i].source for i in rows} for rows in (train, validation, test)]
    assert not sources[0] & sources[1]
    assert not sources[0] & sources[2]
    assert not sources[1] & sources[2]


def test_names_are_known_from_enough_training_programs_only(found):
    assert programs.vocabulary(found[: programs.FEWEST - 1]) == {}
    assert programs.vocabulary(found) == {"puts": 2}


def test_every_kind_can_be_made_and_scores_every_label(found):
    graphs = [programs.graph(p, {"puts": 2}) for p in found[:3]]
    for kind, settings in models.KINDS.items():
        for make in settings:
            scores = models.scored(make(1), models.Graphs.joined(graphs))
            assert scores.shape == (3, len(programs.LABELS)), kind


def test_the_auc_is_the_mean_over_labels():
    truth = torch.tensor([[0, 1], [1, 0], [1, 1]])
    assert models.auc(truth, torch.tensor([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])) == pytest.approx((1.0 + 0.5) / 2)
