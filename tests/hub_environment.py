"""The environment of a process, or of this one for a while, whose Hub is one on the loopback. No tests in here."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator, Mapping

import huggingface_hub
from huggingface_hub import constants, hf_api


def change_environment(changes: Mapping[str, str | None]) -> None:
    """Make a process one of this Hub; None removes a variable."""
    for name in [name for name in os.environ if name.startswith(("HF_", "VSEZOO_"))]:
        del os.environ[name]
    os.environ.update({name: value for name, value in changes.items() if value is not None})
    _read_settings_again()


@contextlib.contextmanager
def client_of(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Make this process one of this Hub for a while."""
    before = dict(os.environ)
    change_environment({"VSEZOO_CACHE": before.get("VSEZOO_CACHE"), **changes})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        _read_settings_again()


def _read_settings_again() -> None:
    """Have the client read the environment, which it does when it is imported."""
    huggingface_hub.close_session()
    importlib.reload(constants)
    hf_api.api.endpoint = constants.ENDPOINT
