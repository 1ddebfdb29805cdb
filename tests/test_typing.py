"""A user's program against the types of the package: what is right passes `mypy --strict`, what is wrong does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import vsezoo

PROGRAM = """
from pathlib import Path

import numpy as np

import vsezoo
from vsezoo.training.callbacks import StepRecord


class Losses(vsezoo.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def record(self, record: StepRecord) -> None:
        self.losses.append(record.loss)


class Patience(vsezoo.Observer):
    pass


def main(run: Path) -> dict[str, float]:
    losses = Losses()
    result = vsezoo.train("vsepp", "shapes", output=run, settings={"embed_size": 32}, callbacks=[losses])
    model = vsezoo.load(result.checkpoint)
    texts = model.encode_texts(["a red circle"])
    test = vsezoo.open_data("shapes", "test", kinds=("vector",))
    images = model.encode_images(test.images(range(10)), as_numpy=True)
    best: int = int(np.argmax(images @ texts.numpy().T))
    scores = model.similarity(model.encode_images(test.images([best])), texts)
    index = vsezoo.open_index(run, images=test)
    found: list[str] = [hit.id for hit in index.search("a red circle", k=3)]
    evaluation = vsezoo.evaluate(run)
    recall: float = evaluation.metrics.i2t.r1
    table = evaluation.to_frame()
    try:
        vsezoo.load("no-such-run")
    except vsezoo.VsezooError as error:
        print(error.problem, error.remedy, len(found), table, scores.shape)
    return {"recall": recall, "rsum": evaluation.metrics.rsum}


names: list[str] = [*vsezoo.list_models("vse*"), *vsezoo.list_datasets()]
checkpoint = vsezoo.train("vsepp", "shapes", observers=[Patience()]).checkpoint
model: vsezoo.JointEmbedding = vsezoo.load(checkpoint)
test = vsezoo.open_data("shapes", "test", kinds=("vector",), options=vsezoo.OpenOptions(full_dev=True))
scores = model.similarity(model.encode_images(test.images([0])), model.encode_texts(["a red circle"]))
rsum: float = vsezoo.evaluate([checkpoint], "shapes").metrics.rsum
print(vsezoo.check_data("shapes").fails, vsezoo.open_index(checkpoint, images=test).search("red")[0].score, scores)
"""
MISTAKES = {
    "vsezoo.lode('x')": 'Module has no attribute "lode"',
    "vsezoo.load(3).embed_size": 'Argument 1 to "load" has incompatible type "int"',
    "vsezoo.evaluate(3)": "arg-type",
    "vsezoo.load('x').encode_texts(['a']).tolists()": "tolists",
    "vsezoo.load('x').encode_texts(['a'], as_numpy=True).cpu()": "cpu",
    "vsezoo.evaluate('x').metrics.r1": "r1",
}

PACKAGES = (
    "IPython PIL fastapi filelock huggingface_hub jinja2 matplotlib optuna pandas prompt_toolkit pydantic rich "
    "safetensors starlette tokenizers transformers"
)
OF_TORCH = (
    "_decomp _dynamo _export _functorch _guards _higher_order_ops _inductor _library _logging _meta_registrations "
    "_native _numpy _ops _precompile _prims _prims_common _refs _subclasses _torch_docs _weights_only_unpickler amp "
    "ao autograd.profiler autograd.profiler_util backends cuda distributed distributions export fx jit library masked "
    "mtia multiprocessing nn.parallel nn.utils onnx optim overrides package profiler quantization sparse storage "
    "testing utils.data utils.checkpoint xpu"
)
"""What mypy need not read: no type of the programs comes from there, and to read all of it takes four times as long."""


@pytest.mark.slow
@pytest.mark.process
def test_a_users_program(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    right, wrong = tmp_path / "right.py", tmp_path / "wrong.py"
    right.write_text(PROGRAM)
    wrong.write_text("import vsezoo\n\n" + "\n".join(MISTAKES) + "\n")
    skipped = [*PACKAGES.split(), *(f"torch.{name}" for name in OF_TORCH.split())]
    sections = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in skipped)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\n{sections}")
    cache = Path(__file__).parents[1] / ".mypy_cache" / "program"  # torch is read once
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--follow-imports=silent"]
    command += ["--config-file", "mypy.ini", "--cache-dir", str(cache), str(right), str(wrong)]
    place = Path(vsezoo.__file__).parents[1]
    # An editable installation is not found by itself; mypy refuses to be told of any other.
    environment = {**os.environ, **({} if place.name == "site-packages" else {"MYPYPATH": str(place)})}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
    lines = done.stdout.splitlines()
    assert {line.partition(":")[0] for line in lines} == {"wrong.py"}, done.stdout + done.stderr
    for number, (code, word) in enumerate(MISTAKES.items(), start=3):
        assert any(f"wrong.py:{number}:" in line and word in line for line in lines), (code, done.stdout)
