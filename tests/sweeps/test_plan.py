"""Plans: which runs a sweep has, and how they are named."""

from pathlib import Path

import pytest

from vsezoo.errors import UsageError
from vsezoo.sweeps.plan import Plan, read_plan, read_seeds, split_values


def test_a_grid() -> None:
    plan = Plan(
        "vsepp",
        seeds=(1, 2),
        settings={"embed_size": 8},
        grid={"loss.margin": [0.1, 0.2], "loss.max_violation": [True]},
    )
    runs = plan.list_runs()
    assert [run.name for run in runs] == [
        "margin-0.1_max_violation-true_seed-1",
        "margin-0.1_max_violation-true_seed-2",
        "margin-0.2_max_violation-true_seed-1",
        "margin-0.2_max_violation-true_seed-2",
    ]
    assert runs[2].settings == {
        **{"embed_size": 8, "loss.margin": 0.2, "loss.max_violation": True},
        "training.seed": 1,
    }
    assert plan.folder == Path("runs/vsepp-shapes-sweep")


def test_settings_with_the_same_last_part_are_named_whole() -> None:
    grid = {"image_encoder.pool": ["max"], "text_encoder.pool": ["a/b"]}
    assert [run.name for run in Plan("vsepp", grid=grid).list_runs()] == [
        "image_encoder.pool-max_text_encoder.pool-a-b_seed-1"
    ]


def test_a_list_beside_a_grid() -> None:
    listed = [{"loss": "hinge"}, {"loss": "infonce", "embed_size": 4}]
    plan = Plan("vsepp", grid={"embed_size": [1, 2]}, listed=listed)
    with pytest.raises(UsageError, match="has the run embed_size-4_loss-infonce_seed-1 twice"):
        plan.list_runs()
    assert [run.name for run in Plan("vsepp", listed=listed).list_runs()] == [
        "loss-hinge_seed-1",
        "loss-infonce_embed_size-4_seed-1",
    ]


def test_a_listed_run_may_have_a_name() -> None:
    listed = [{"name": "small & wide", "loss.margin": 0.1}, {"loss.margin": 0.2}]
    runs = Plan("vsepp", grid={"embed_size": [4]}, listed=listed).list_runs()
    assert [run.name for run in runs] == ["small-wide_embed_size-4_seed-1", "embed_size-4_margin-0.2_seed-1"]
    assert runs[0].settings == {"embed_size": 4, "loss.margin": 0.1, "training.seed": 1}


def test_names_that_no_file_system_allows_are_cut_and_stay_different() -> None:
    listed = [{"text_encoder.words": "é" * 150}, {"text_encoder.words": "é" * 151}]
    first, second = (run.name for run in Plan("vsepp", seeds=[7], listed=listed).list_runs())
    assert first != second
    assert first.startswith("words-éé")
    assert all(name.endswith("_seed-7") and len(name.encode()) < 220 for name in (first, second))


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        'model = "vsepp"\ndata = "shapes"\noutput = "out"\nseeds = [3, 5]\nfull_dev = true\n'
        '[set]\nembed_size = 8\ntraining.num_epochs = 2\n[grid]\n"loss.margin" = [0.1, 0.2]\n'
    )
    plan = read_plan(file)
    assert (plan.model, plan.data, plan.folder, plan.seeds) == ("vsepp", "shapes", Path("out"), [3, 5])
    assert plan.settings == {"embed_size": 8, "training.num_epochs": 2}
    assert plan.grid == {"loss.margin": [0.1, 0.2]}
    assert plan.opening == {"full_dev": True}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("model = ", "is not TOML"),
        ("", "names no model"),
        ('model = "a"\nseed = 3', "unknown entry 'seed'.\nDid you mean 'seeds'"),
        ('model = "a"\nseeds = 0', "0 is not a number of seeds"),
        ('model = "a"\n[grid]\nx = 1', "is not a list of values"),
        ('model = "a"\ngrid = 3', "'grid' has an impossible value"),
        ('model = "a"\nruns = [1]', "is not a table"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_plan(file)
    assert problem in str(caught.value)
    assert "plan.toml" in str(caught.value)


def test_a_plan_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read"):
        read_plan(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.1,0.2", [0.1, 0.2]),
        ("hinge,infonce", ["hinge", "infonce"]),
        ("true", [True]),
        ("[0.1, 0.2]", [0.1, 0.2]),
        ("a,1", ["a", 1]),
        ("[1,2],[3]", [[1, 2], [3]]),
    ],
)
def test_values(text: str, values: list[object]) -> None:
    assert split_values(text) == values


def test_seeds() -> None:
    assert read_seeds(3) == [1, 2, 3]
    assert read_seeds([0, 7]) == [0, 7]
    for value in (True, -1, [], ["a"], "x"):
        with pytest.raises(UsageError, match="not a number of seeds"):
            read_seeds(value)
