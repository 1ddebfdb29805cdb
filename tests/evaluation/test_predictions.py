"""Per-query results in files."""

import json
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
import tiny
import torch

from vsezoo.errors import DataError, UsageError
from vsezoo.evaluation import query_metrics
from vsezoo.evaluation.collection import Collector, describe_data, name_captions
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.predictions import Predictions, Query, read_predictions, write_predictions
from vsezoo.evaluation.ranks import rank_pairs

DATA = tiny.TinyPairs()
SCORES = torch.from_numpy(np.random.default_rng(2).normal(size=(6, 30)).round(1).astype(np.float32))


def scorer(images, captions):
    return SCORES[images, captions]


def collect(ties: str = "lower_index") -> Predictions:
    collector = Collector(DATA, 4, ties)
    collector.add(scorer, np.arange(6), np.arange(30))
    about = {"evaluation": {"checkpoints": [{"model": "a b"}]}, **describe_data(DATA), "recipes": [], "top": 4}
    return Predictions(about, collector.queries)


@pytest.mark.parametrize("ties", ["lower_index", "expected"])
def test_the_figures_follow_from_the_queries(ties: str) -> None:
    ranks = rank_pairs(scorer, DATA.image_of, 6, ties=ties)
    queries = collect(ties).queries
    for direction, expected, tied in (("i2t", ranks.i2t, ranks.i2t_tied), ("t2i", ranks.t2i, ranks.t2i_tied)):
        chosen = [query for query in queries if query.direction == direction]
        assert [query.rank - 1 for query in chosen] == pytest.approx(expected.tolist())
        assert [query.tied for query in chosen] == tied.tolist()
        recall = 100 * np.mean([query_metrics.hit(query.ranks, 5) for query in chosen])
        assert recall == pytest.approx(DirectionMetrics.from_ranks(expected).r5)


def test_ids_and_scores() -> None:
    first, caption = collect().queries[0], collect().queries[6 + 7]
    assert first.id == "image0"
    assert sorted(first.matches) == [f"image0#{number}" for number in range(5)]
    row = SCORES[0].tolist()
    order = sorted(range(30), key=lambda index: (-row[index], index))
    assert first.top == tuple(name_captions(DATA)[index] for index in order[:4])
    assert np.float32(first.scores).tolist() == [row[index] for index in order[:4]]
    assert (caption.id, caption.text, caption.matches) == ("image1#2", DATA.captions[7], ("image1",))


def test_a_part_of_a_split() -> None:
    collector = Collector(DATA, 1, "lower_index")
    collector.add(lambda images, captions: SCORES[2:4, 10:20][images, captions], np.arange(2, 4), np.arange(10, 20), 2)
    assert {query.fold for query in collector.queries} == {2}
    assert collector.queries[0].id == "image2"
    assert set(collector.queries[0].matches) == {f"image2#{number}" for number in range(5)}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    file, predictions = tmp_path / f"file{suffix}", collect("expected")
    write_predictions(file, predictions)
    found = read_predictions(file)
    assert found.queries == predictions.queries
    assert {name: found.about[name] for name in predictions.about} == predictions.about
    assert [item.name for item in tmp_path.iterdir()] == [file.name]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    query = Query("i2t", "caf\udce9.jpg", (1,), ("ü\u2028#0",))
    write_predictions(tmp_path / "file.jsonl", Predictions({"evaluation": {}}, [query]))
    assert read_predictions(tmp_path / "file.jsonl").queries == [query]


def test_a_run_of_trec(tmp_path: Path) -> None:
    queries = [
        Query("i2t", "a b%", (1, 3), ("x", "y"), False, ("x", "z"), (0.5, -0.25)),
        Query("t2i", "x", (1,), ("a",)),
    ]
    write_predictions(tmp_path / "run.trec", Predictions(collect().about, queries))
    assert (tmp_path / "run.i2t.trec").read_text().splitlines() == [
        "a%20b%25 Q0 x 1 0.5 a%20b",
        "a%20b%25 Q0 z 2 -0.25 a%20b",
    ]
    assert (tmp_path / "run.i2t.qrels").read_text().splitlines() == ["a%20b%25 0 x 1", "a%20b%25 0 y 1"]
    assert (tmp_path / "run.t2i.qrels").read_text() == "x 0 a 1\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"format": "other"}',
        "[1]",
        '{"format": "vsezoo-predictions", "format_version": 1}\n{"direction": "i2t"}',
    ],
)
def test_a_file_of_something_else(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(content)
    problem = "is not a complete file of predictions|cannot be read as JSON|does not contain a JSON object"
    with pytest.raises(DataError, match=rf"file\.jsonl: ({problem})") as caught:
        read_predictions(file)
    assert "vsezoo eval" in caught.value.remedy


def test_a_file_that_was_cut(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    write_predictions(file, collect())
    file.write_text(file.read_text()[:-40])
    with pytest.raises(DataError, match="not a complete file"):
        read_predictions(file)


def test_a_later_version(tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(json.dumps({"format": "vsezoo-predictions", "format_version": 3}))
    with pytest.raises(DataError, match="format version 3"):
        read_predictions(file)


def test_an_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="suffix"):
        write_predictions(tmp_path / "file.csv", collect())


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.slow
def test_a_changed_bit_is_noticed_or_changes_nothing(suffix: str, tmp_path: Path) -> None:
    file, predictions = tmp_path / f"all{suffix}", collect()
    write_predictions(file, predictions)
    expected, content = read_predictions(file), file.read_bytes()
    assert expected.queries == predictions.queries
    header = content.index(b"\n") if suffix == ".jsonl" else content.index(b"PAR1", 4)
    random, noticed = Random(0), 0
    for place in [*(random.randrange(header) for _ in range(60)), *random.sample(range(len(content)), 60)]:
        altered = bytearray(content)
        altered[place] ^= 1 << random.randrange(8)
        file.write_bytes(altered)
        try:
            found = read_predictions(file)
        except DataError:
            noticed += 1
        else:
            assert found == expected, place
    assert noticed > 80


def test_pipes_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    (tmp_path / "b.parquet").symlink_to("/dev/zero")
    for name in ("a.jsonl", "b.parquet"):
        with pytest.raises(DataError, match="it is not a plain file"):
            read_predictions(tmp_path / name)
