"""Pretrained weights of another library on the Hub, used as a checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import commands
import dual_families
import loopback
import pictures
import processes
import pytest
import torch
from hub_environment import client_of
from hub_repositories import Blob, Repository
from loopback import LoopbackHub
from originals import FIXTURES

import vsezoo
from vsezoo.errors import CheckpointError
from vsezoo.recipe import Pretrained
from vsezoo.registry import register

Vse = Callable[..., processes.Done]
CAPTIONS = ["a dog", "the red thing"]


@pytest.fixture
def source(tiny_clip: Path) -> Path:
    return tiny_clip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return pictures.write_photos(tmp_path / "photos", 4)


def publish(hub: LoopbackHub, folder: Path, leave_out: str = "") -> Repository:
    repository = hub.repositories.setdefault("org/clip", Repository())
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != leave_out}
    repository.commit({name: Blob.of(content, name.endswith(".safetensors")) for name, content in files.items()})
    return repository


@pytest.mark.slow
def test_a_repository(
    hub: LoopbackHub, vse: Vse, environment: dict[str, str], source: Path, photos: Path, tmp_path: Path
) -> None:
    commit = publish(hub, source).branches["main"]
    done = vse("search", "hub:org/clip", "a dog", "--images", str(photos), "--json")
    assert done.code == 0, done.stderr
    best = json.loads(done.stdout)["hits"][0]
    with client_of({**environment, "HF_HUB_OFFLINE": "1"}):
        checkpoint = vsezoo.Checkpoint.open("hub:org/clip")
        assert checkpoint.reference == f"hub:org/clip@{commit}"
        assert vsezoo.open_index(checkpoint, images=photos).search("a dog", 1)[0].id == best["id"]
    with client_of(environment):
        assert torch.equal(
            vsezoo.load("hub:org/clip").encode_texts(CAPTIONS), vsezoo.load(source).encode_texts(CAPTIONS)
        )


def test_no_network_and_nothing_cached(vse: Vse, photos: Path) -> None:
    done = vse("search", "hub:org/clip", "a dog", "--images", str(photos), HF_HUB_OFFLINE="1")
    processes.assert_one_message(done, 1, r"hub:org/clip: is not complete in the cache, .*HF_HUB_OFFLINE forbids")


@pytest.mark.slow
def test_pickles_alone(hub: LoopbackHub, vse: Vse, source: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    publish(hub, tmp_path / "pickled")
    for reference, words in (("hub:org/clip", "others would have"), (str(tmp_path / "pickled"), "would have to")):
        done = vse("search", reference, "a dog", "--images", str(photos))
        processes.assert_one_message(done, 1, rf"has no model\.safetensors.*\n.*{words}.* unpickled")


@pytest.mark.slow
@pytest.mark.parametrize("other", [None, {"architecture": "vit_base_patch32_clip_224", "num_features": 512}])
def test_a_repository_of_open_clip(
    hub: LoopbackHub, environment: dict[str, str], tmp_path: Path, other: dict[str, object] | None
) -> None:
    """Also one that has the image tower for timm next to it, as timm's have, and pickles."""
    pytest.importorskip("open_clip")
    if not FIXTURES.is_dir():
        pytest.skip("VSEZOO_SHARED has no fixtures")
    folder = Path(shutil.copytree(FIXTURES / "dual_openclip", tmp_path / "clip"))
    expected = vsezoo.load(folder).encode_texts(CAPTIONS).clone()
    if other is not None:
        (folder / "config.json").write_text(json.dumps(other))
        shutil.copy(folder / "open_clip_model.safetensors", folder / "model.safetensors")
        (folder / "open_clip_pytorch_model.bin").write_bytes(b"evil")
        assert torch.equal(vsezoo.load(folder).encode_texts(CAPTIONS), expected)
    publish(hub, folder)
    with client_of(environment):
        checkpoint = vsezoo.Checkpoint.open("hub:org/clip")
        assert torch.equal(checkpoint.model().encode_texts(CAPTIONS), expected)
    fetched = {path.rsplit("/", 1)[1] for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    assert "open_clip_model.safetensors" in fetched
    assert not {"model.safetensors", "open_clip_pytorch_model.bin"} & fetched


@pytest.mark.slow
def test_a_gated_repository(hub: LoopbackHub, vse: Vse, source: Path, photos: Path, tmp_path: Path) -> None:
    publish(hub, source).gated = True
    for token in (loopback.READER, ""):  # 403, and 401
        reader = {"HF_TOKEN": token, "HF_HOME": str(tmp_path / "elsewhere")}
        done = vse("search", "hub:org/clip", "a dog", "--images", str(photos), **reader)
        processes.assert_one_message(done, 1, r"hub:org/clip.*: is gated, and you have no access\.\nRequest access")


@pytest.mark.slow
def test_a_name(hub: LoopbackHub, vse: Vse, environment: dict[str, str], source: Path, tmp_path: Path) -> None:
    commit = publish(hub, source).branches["main"]
    settings = {"text_encoder.normalize": False}
    known = {"recipe": "clip", "model": "tiny-clip", "sha256": "", "data": "nothing", "format": "transformers"}
    register("checkpoints", "tiny-clip.nothing")(
        Pretrained(name="tiny-clip.nothing", reference="hub:org/clip", settings=settings, **known)
    )
    with client_of(environment):
        checkpoint = vsezoo.Checkpoint.open("tiny-clip.nothing")
        assert checkpoint.reference == f"hub:org/clip@{commit}"
        plain = checkpoint.model().encode_texts(CAPTIONS)
        torch.testing.assert_close(dual_families.normalise(plain), vsezoo.load(source).encode_texts(CAPTIONS).clone())
        assert not torch.allclose(plain.norm(dim=-1), torch.ones(len(CAPTIONS)))
    shown = json.loads(commands.run_command(tmp_path, "show", "clip-vit-b32.openai", "--json").stdout)
    assert (shown["reference"], shown["pixels"]) == ("hub:openai/clip-vit-base-patch32", 224)
    assert "58.8" in commands.run_command(tmp_path, "show", "clip-vit-b32.openai").stdout


def test_other_weights_than_the_registered_ones_are_refused(source: Path) -> None:
    known = {"recipe": "clip", "model": "tiny-clip", "data": "nothing", "format": "transformers"}
    register("checkpoints", "tiny-clip.other")(
        Pretrained(name="tiny-clip.other", reference=str(source), sha256="0" * 64, **known)
    )
    with pytest.raises(CheckpointError, match=r"has the SHA-256 .*, not 0000.* as registered"):
        vsezoo.load("tiny-clip.other")
