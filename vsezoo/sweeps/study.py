"""What is chosen next, and what is ended early: by Optuna, from the trials so far.

The study is built anew from the trials each time, in memory: the folders of the runs are its storage.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from vsezoo.errors import require_package
from vsezoo.sweeps.space import Choice, Range, Search
from vsezoo.sweeps.trials import Trial

STARTUP = 5
"""Complete trials before others are compared with them."""


def choose_settings(search: Search, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return the settings of the next trial: at first random ones, later those that promise most (TPE).

    The same trials and seed give the same settings.

    Raises:
        MissingPackageError: without optuna.
    """
    optuna = require_package("optuna", "A search")
    fitting = [trial for trial in trials if _fits(search, trial)]
    study = _make_study(optuna, fitting, search.space, search.seed + len(trials))
    chosen = study.ask({name: _distribute(optuna, choice) for name, choice in search.space.items()}).params
    return {name: _decode(search.space[name], value) for name, value in chosen.items()}


def is_hopeless(trial: Trial, others: Sequence[Trial]) -> bool:
    """Return whether the best score of a trial so far is below the median of the others after as many validations.

    Raises:
        MissingPackageError: without optuna.
    """
    if not trial.scores:
        return False
    optuna = require_package("optuna", "A search")
    study = _make_study(optuna, [other for other in others if other.number != trial.number], {})
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    return bool(pruner.prune(study, _to_frozen(optuna, trial, {})))


def _make_study(optuna: Any, trials: Sequence[Trial], space: Mapping[str, Choice], seed: int = 0) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_to_frozen(optuna, trial, space) for trial in trials])
    return study


def _to_frozen(optuna: Any, trial: Trial, space: Mapping[str, Choice]) -> Any:
    """Return a trial as Optuna has it, with the settings that are chosen from a space."""
    states = optuna.trial.TrialState
    known = {"complete": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}
    state = known.get(trial.state, states.RUNNING)
    if state == states.COMPLETE and trial.best is None:
        state = states.FAIL
    return optuna.trial.create_trial(
        state=state,
        value=trial.best if state == states.COMPLETE else None,
        params={name: _encode(choice, trial.settings[name]) for name, choice in space.items()},
        distributions={name: _distribute(optuna, choice) for name, choice in space.items()},
        intermediate_values=dict(trial.scores),
    )


def _fits(search: Search, trial: Trial) -> bool:
    """Return whether a trial chose from this space, which may have been changed since."""
    if search.space.keys() != trial.settings.keys():
        return False
    for name, choice in search.space.items():
        value = trial.settings[name]
        if isinstance(choice, Range):
            if not (isinstance(value, int | float) and choice.low <= value <= choice.high):
                return False
        elif value not in choice:
            return False
    return True


def _distribute(optuna: Any, choice: Choice) -> Any:
    if not isinstance(choice, Range):
        return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in choice])
    if choice.whole:
        return optuna.distributions.IntDistribution(choice.low, choice.high, log=choice.log, step=choice.step or 1)
    return optuna.distributions.FloatDistribution(choice.low, choice.high, log=choice.log, step=choice.step)


def _encode(choice: Choice, value: Any) -> Any:
    return value if isinstance(choice, Range) else json.dumps(value)  # optuna has no lists among its values


def _decode(choice: Choice, value: Any) -> Any:
    return value if isinstance(choice, Range) else json.loads(value)
