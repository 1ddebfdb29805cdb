"""What the server of `processes` does before it forks: a training, so that no process imports anything. No tests."""

from __future__ import annotations

import gc
import math
import os
import tempfile
from pathlib import Path

import tiny
import torch

import vsezoo
from vsezoo.training import saved

torch.set_num_threads(1)
saved.CHEAP = math.inf  # as in conftest.py
_, _, before = os.environ.pop("PYTHONPATH").partition(os.pathsep)  # which `processes` has lent
if before:
    os.environ["PYTHONPATH"] = before
with tempfile.TemporaryDirectory() as folder:
    data = tiny.write_data(Path(folder, "data"), images={"train": 8, "dev": 2, "test": 2})
    vsezoo.train("vsepp", str(data), output=Path(folder, "run"), settings=tiny.SETTINGS, device="cpu")
gc.collect()
gc.freeze()  # what a collection does not look at is not copied for each process
