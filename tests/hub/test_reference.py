"""References: what they name, and what is none."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LETTERS

from vsezoo.checkpoints.checkpoint import load
from vsezoo.checkpoints.locate import pin_reference
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.hub.reference import HubReference, is_repository, parse_reference

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("prefix", ["hub:", "hf-hub:", "hf://"])
@pytest.mark.parametrize("revision", [None, "main", "v1.0", "refs/pr/3", "feature/a_b", SHA])
def test_all_prefixes_mean_the_same(prefix: str, revision: str | None) -> None:
    text = f"{prefix}org/vse-f8k" + (f"@{revision}" if revision else "")
    reference = parse_reference(text)
    assert reference == HubReference("org/vse-f8k", revision)
    assert str(reference) == text.replace(prefix, "hub:")
    assert parse_reference(str(reference)) == reference
    assert reference.pinned == (revision == SHA)


@pytest.mark.parametrize("text", ["runs/vsepp", "org/name", "./hub:org/name", "", ".", "c:/models", "HUB:org/name"])
def test_a_folder_is_no_reference(text: str) -> None:
    assert parse_reference(text) is None
    assert pin_reference(text) == text


NO_REPOSITORIES = ["", "name", "a/b/c", "/a/b", "../x", "a/..", "a/b/", "a b/c", "a/b.git", "a/-b", "a/b.", "a/b--c"]


@pytest.mark.parametrize("name", [*NO_REPOSITORIES, "ä/b", "a/" + "b" * 100])
def test_what_names_no_repository(name: str) -> None:
    assert not is_repository(name)
    with pytest.raises(UsageError, match=r"is not a valid reference: .* is not org/name\.\nExamples: hub:org/name,"):
        parse_reference(f"hub:{name}")


NO_REVISIONS = [
    "",
    "..",
    "../../etc",
    "a/../b",
    "/etc",
    "a//b",
    "-x",
    "a b",
    "x.lock",
    "a/.b",
    "a\\b",
    "a~1",
    "x/",
    "\n",
]


@pytest.mark.parametrize("revision", NO_REVISIONS)
def test_what_names_no_revision(revision: str) -> None:
    """The client makes a path of it, below its cache."""
    with pytest.raises(UsageError, match="is not a revision"):
        parse_reference(f"hub:org/name@{revision}")


@pytest.mark.slow
@given(st.text(LETTERS, max_size=30))
@settings(deadline=None)
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(f"hub:{text}")
    except UsageError:
        return
    assert reference is not None
    for part in [*reference.repository.split("/"), *(reference.revision or "").split("/")]:
        assert part not in (".", "..")
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize("reference", ["org/vse-f8k", "absent/name"])
def test_a_bare_name_is_told_both_forms(
    reference: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    with pytest.raises(CheckpointError) as caught:
        load(reference)
    assert f"hub:{reference}" in caught.value.remedy
    assert "runs/NAME" in caught.value.remedy


@pytest.mark.process
def test_parsing_needs_no_client() -> None:
    program = (
        "import sys; from vsezoo.hub.reference import parse_reference; parse_reference('hub:a/b'); "
        "print({'torch', 'numpy', 'huggingface_hub', 'httpx', 'httpx2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
