"""Comparisons: groups, what is refused or marked, tables, the page."""

import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import predicted
import pytest
from click.testing import CliRunner
from PIL import Image

from vsezoo.cli import main
from vsezoo.comparison import tables
from vsezoo.comparison.compare import compare
from vsezoo.comparison.grouping import choose_name, read_groups
from vsezoo.comparison.page import write_page
from vsezoo.comparison.queries import find_differences
from vsezoo.errors import UsageError

IMAGES = 60


def save(folder: Path, name: str, ranks_seed: int = 0, skill: float = 0.5, **options) -> str:
    ranks = predicted.draw_ranks(IMAGES, ranks_seed, skill)
    return str(predicted.save(folder / f"{name}.jsonl", predicted.make_predictions(ranks, **options)))


@pytest.fixture
def seeds(tmp_path: Path) -> list[str]:
    """Two models of two seeds each; they differ in the margin."""
    files = []
    for margin, skill in ((0.2, 0.3), (0.1, 1.2)):
        for seed in (1, 2):
            settings = {"loss": {"options": {"margin": margin}}}
            files.append(save(tmp_path, f"{margin}-{seed}", seed, skill, seed=seed, settings=settings))
    return files


def run(*arguments: str):
    return CliRunner().invoke(main, ["compare", *arguments])


def test_groups_of_seeds(seeds: list[str]) -> None:
    groups = read_groups(seeds, "seeds")
    assert [group.name for group in groups] == ["vsepp loss.margin=0.2", "vsepp loss.margin=0.1"]
    assert [len(group.results) for group in groups] == [2, 2]


def test_groups_by_name(seeds: list[str]) -> None:
    groups = read_groups([f"ours={seeds[0]}", seeds[2], f"ours={seeds[1]}"])
    assert [(group.name, len(group.results)) for group in groups] == [("ours", 2), ("0.1-1", 1)]


def test_names_that_are_equal_are_told_apart(tmp_path: Path) -> None:
    files = [save(tmp_path / folder / "run", "predictions", seed=seed) for seed, folder in enumerate("ab")]
    assert choose_name(Path(files[0])) == "run"
    assert choose_name(Path(files[0]).parent) == "run"
    assert [group.name for group in read_groups(files)] == [str(Path(file).parent) for file in files]
    other = save(Path(files[0]).parent.parent / "predictions", "run", seed=3)
    assert [group.name for group in read_groups([files[0], other])] == [str(Path(files[0]).parent), other]


def test_the_same_model_twice_is_no_group(seeds: list[str]) -> None:
    with pytest.raises(UsageError, match="'ours' has the same model twice"):
        read_groups([f"ours={seeds[0]}", f"ours={seeds[0]}"])


def test_rows(seeds: list[str]) -> None:
    groups = read_groups(seeds, "seeds")
    first, second = compare(groups, resamples=2000).rows
    runs = first.group.figures
    np.testing.assert_allclose(first.mean, runs.mean(1))
    np.testing.assert_allclose(first.spread, np.abs(runs[:, 0] - runs[:, 1]) / np.sqrt(2))
    assert (first.interval[:, 0] < first.mean).all()
    assert (first.mean < first.interval[:, 1]).all()
    assert first.difference is None
    assert second.difference is not None
    np.testing.assert_allclose(second.difference, second.mean - first.mean)
    low, high = second.difference_interval[-1]
    assert low < second.difference[-1] < high
    assert second.p[-1] < 0.01  # a large difference of skill
    alone = compare(groups[:1], resamples=200).rows[0]
    assert alone.p is None


def test_a_model_beside_itself(seeds: list[str]) -> None:
    _, second = compare(read_groups([f"a={seeds[0]}", f"b={seeds[0]}"]), resamples=500).rows
    np.testing.assert_array_equal(second.difference, 0)
    np.testing.assert_array_equal(second.p, 1)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ({"protocol": "fold5"}, "protocol 'fold5', not 'full'"),
        ({"ground_truth": "h"}, "other ids or captions"),
        ({"split": "dev", "ground_truth": "h"}, "split 'dev', not 'test'"),
        ({"data": "f30k", "ground_truth": "h"}, "data 'f30k', not 'f8k'"),
    ],
)
def test_what_is_refused(tmp_path: Path, seeds: list[str], labels: dict[str, str], problem: str) -> None:
    other = save(tmp_path, "other", 3, **labels)
    done = run(seeds[0], other)
    assert done.exit_code == 2
    assert problem in done.stderr
    assert "--anyway" in done.stderr
    done = run(seeds[0], other, "--anyway", "--json", "--resamples", "200")
    assert done.exit_code == 0, done.stderr
    row = json.loads(done.stdout)["rows"][1]
    assert any(problem in note for note in row["notes"])
    assert row["p"] is None
    assert row["difference"] is None
    assert row["interval"] is not None


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (
            {"images": {"kind": "vector", "shape": [2], "extraction": {"backbone.name": "x"}}},
            "features extracted differently",
        ),
        ({"images": {"kind": "regions", "shape": [36, 2], "extraction": {}}}, "images are regions 36x2, not vector 2"),
        ({"ties": {"rule": "pessimistic"}}, "ties ranked by pessimistic"),
        ({"ensemble": True}, "ensemble of 1 models"),
    ],
)
def test_what_is_marked(tmp_path: Path, seeds: list[str], labels: dict[str, object], note: str) -> None:
    done = run(seeds[0], save(tmp_path, "other", 3, **labels), "--resamples", "200")
    assert done.exit_code == 0, done.stderr
    assert f"[a] {note}" in done.stdout
    assert "other [a]" in done.stdout


def test_a_group_is_of_one_evaluation(tmp_path: Path, seeds: list[str]) -> None:
    other = save(tmp_path, "other", 3, protocol="fold5")
    done = run(f"a={seeds[0]}", f"a={other}", "--anyway")
    assert done.exit_code == 2
    assert "protocol 'fold5'" in done.stderr


# Output


def test_the_table(seeds: list[str]) -> None:
    done = run(*seeds, "--group", "seeds", "--resamples", "200")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "f8k, test split"
    first = compare(read_groups(seeds, "seeds"), resamples=200).rows[0]
    assert f"{first.mean[-1]:.1f} ± {first.spread[-1]:.1f}" in lines[2]


def test_a_narrow_terminal_has_a_column_for_each_model(seeds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    models = [f"with-hard-negatives={seeds[0]}", f"kiros={seeds[2]}", f"kiros={seeds[3]}"]
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*models).stdout.splitlines()
    assert lines[1].split() == ["model", "with-hard-negatives", "kiros"]
    assert lines[2].split() == ["runs", "1", "2"]
    assert [line.split()[0] for line in lines[3:10]] == ["i2t"] * 3 + ["t2i"] * 3 + ["rsum"]
    assert max(map(len, lines)) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    assert run(*models).stdout.splitlines()[1].split()[:4] == ["model", "runs", "i2t", "R@1"]


def test_csv_is_not_rounded(seeds: list[str]) -> None:
    done = run(*seeds, "--group", "seeds", "--resamples", "200", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    comparison = compare(read_groups(seeds, "seeds"), resamples=200)
    assert [float(row["mean"]) for row in rows] == [*comparison.rows[0].mean, *comparison.rows[1].mean]
    assert rows[0]["p"] == ""
    assert float(rows[-1]["p"]) == comparison.rows[1].p[-1]


def test_markdown_has_equal_cells(seeds: list[str]) -> None:
    comparison = compare(read_groups([f"a|b={seeds[0]}", seeds[1]]), resamples=200)
    table = tables.to_markdown(comparison).split("\n\n")[0].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(tables.tabulate(comparison)[0]) + 1}


def test_latex(seeds: list[str]) -> None:
    names = [f"a_b & 50%={seeds[0]}", f"b={seeds[2]}", f"b={seeds[3]}"]
    text = tables.to_latex(compare(read_groups(names), resamples=200))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert (body[0], body[-1]) == (r"\begin{tabular}{lrrrrrrr}", r"\end{tabular}")
    rows = [line for line in body if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {7}
    assert rows[1].startswith(r"a\_b \& 50\% &")
    assert rows[2].count(r"\textbf{") == 7  # it is better everywhere
    assert rows[2].count(r"$\pm$") == 7
    assert text.count("{") == text.count("}")
    assert [body.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(seeds: list[str], tmp_path: Path) -> None:
    table = tables.to_latex(compare(read_groups([f"a_b & 50% #1 ~^={seeds[0]}", f"ü={seeds[2]}"]), resamples=200))
    page = ["\\documentclass{article}", "\\usepackage{booktabs}", "\\begin{document}", table, "\\end{document}"]
    (tmp_path / "page.tex").write_text("\n".join(page), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_queries_that_differ(tmp_path: Path) -> None:
    before = {"i2t": [1, 5, 1], "t2i": [1, 40, 3]}
    after = {"i2t": [1, 1, 2], "t2i": [1, 1, 3]}
    files = [
        str(predicted.save(tmp_path / f"{name}.jsonl", predicted.make_predictions(ranks, per_image=1)))
        for name, ranks in (("before", before), ("after", after))
    ]
    first, second = read_groups(files)
    found = find_differences(first, second)
    assert [(item.query.id, item.first, item.second) for item in found.better] == [
        ("1.jpg#0", pytest.approx(40), pytest.approx(1)),
        ("1.jpg", pytest.approx(5), pytest.approx(1)),
    ]
    assert [item.query.id for item in found.worse] == ["2.jpg"]
    assert (found.only_first, found.only_second) == ({"i2t": 1, "t2i": 0}, {"i2t": 1, "t2i": 1})
    done = run(*files, "--queries", "1", "--resamples", "100")
    assert "“caption 1” (1.jpg#0)" in done.stdout
    # The page has the picture, and loads nothing.
    Image.new("RGB", (300, 200), "red").save(tmp_path / "1.jpg")
    write_page(tmp_path / "page.html", compare([first, second], resamples=100), images=tmp_path)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "rank 40 → 1" in page
    assert page.count("data:image/jpeg;base64,") >= 2
    assert not re.search(r"(src|href)=[\"'](?!data:)", page)
    assert "http" not in page.replace("http-equiv", "")


def test_pictures_that_are_missing(tmp_path: Path, seeds: list[str]) -> None:
    done = run(*seeds[:2], "--html", str(tmp_path / "page.html"), "--images", str(tmp_path / "none"))
    assert done.exit_code == 2
    assert "none: does not exist" in done.stderr


def test_names_are_escaped_in_the_page(tmp_path: Path, seeds: list[str]) -> None:
    comparison = compare(read_groups([f"<b>={seeds[0]}", seeds[1]]), resamples=100)
    write_page(tmp_path / "page.html", comparison)
    assert "<b>" not in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.process
def test_nothing_heavy_is_loaded(tmp_path: Path, seeds: list[str]) -> None:
    program = (
        f"import sys; from vsezoo.cli import main; main(['compare', *{seeds!r}], standalone_mode=False); "
        "print('heavy', {'torch', 'PIL', 'jinja2', 'transformers'} & set(sys.modules))"
    )
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy set()"
