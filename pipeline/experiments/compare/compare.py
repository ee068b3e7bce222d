"""Compares the candidates, and trains only those without a stored outcome."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.experiments.compare import candidates
from pipeline.experiments.compare.baselines import BASELINES
from pipeline.experiments.compare.candidates import Outcome, Results, result_key
from pipeline.experiments.compare.data import ComparisonData
from pipeline.experiments.compare.table import ComparisonRow
from pipeline.experiments.compare.variants import named_recipes
from pipeline.runners.events import Watcher
from pipeline.runners.local import reports_to
from pipeline.settings import TrainerSettings
from schema.features import TRAIN
from schema.interruption import interruptible


def compare(
    data: ComparisonData,
    settings: TrainerSettings,
    *,
    networks: Sequence[str],
    variants: Sequence[str],
    seeds: int,
    baselines: bool,
    seed_notebook: bool,
    fraction: float,
    results: Path,
    report: Callable[[str], None],
    watcher: Watcher,
) -> list[ComparisonRow]:
    """Trains all candidates.

    Args:
        data: the rows.
        settings: trainer settings, the base of each network's recipe.
        networks: names of architectures.
        variants: "name:key=value;key=value" with other trainer settings.
        seeds: number of trainings of each network, with consecutive seeds.
        baselines: whether to train the linear baselines.
        seed_notebook: whether to run the notebook's own code.
        fraction: share of the training rows that the networks learn from; baselines and notebook learn from all.
        results: directory of finished outcomes.
        report: called with one line per training and per outcome.
        watcher: receives the progress of each training.

    Returns:
        One line per candidate, in the order of training.

    Raises:
        SettingsError: a variant has no name, the name of another variant, or an invalid setting.
        Interrupted: a signal ended the process, even if the training ignored it.
    """
    recipes = named_recipes(settings, networks, variants)
    reduced = _reduce(data, fraction, settings.seed)
    store = Results(results)

    def outcome(
        name: str, definition: object, rows: ComparisonData, seed: int, train: Callable[[], Outcome]
    ) -> Outcome:
        key = result_key(name, definition, rows, seed)
        found = store.get(key)
        if found is None:
            report(f"training {name}, seed {seed}")
            # Outcomes are kept, so a training that ignored a signal must not produce one.
            with interruptible(), reports_to(watcher, name):
                found = train()
            store.put(key, found)
        report(f"{name}: accuracy {found.accuracy:.4f}, training {found.seconds:.0f} s")
        return found

    lines = []
    for name, recipe in recipes.items():
        outcomes = []
        for seed in range(recipe.seed, recipe.seed + seeds):
            seeded = recipe.model_copy(update={"seed": seed})
            train = partial(candidates.train_network, name, seeded, reduced, results.parent / "checkpoints")
            outcomes.append(outcome(name, vars(seeded), reduced, seed, train))
        lines.append(ComparisonRow(name, outcomes))
    # These have no recipe, so their code defines them.
    if baselines:
        code = inspect.getsource(candidates.baselines)
        lines += [
            ComparisonRow(name, [outcome(name, code, data, 0, partial(candidates.train_baseline, name, data))])
            for name in BASELINES
        ]
    if seed_notebook:
        code = inspect.getsource(candidates.seed_notebook)
        for architecture in networks:
            name = f"notebook's {architecture}"
            train = partial(candidates.train_notebook_network, name, architecture, data, settings.seed)
            lines.append(ComparisonRow(name, [outcome(name, code, data, settings.seed, train)]))
    return lines


def _reduce(data: ComparisonData, fraction: float, seed: int) -> ComparisonData:
    if fraction == 1.0:
        return data
    rows = data.tokens[TRAIN]
    kept = np.sort(np.random.default_rng(seed).permutation(len(rows))[: round(fraction * len(rows))])
    return dataclasses.replace(data, tokens=data.tokens | {TRAIN: rows.select(kept)})
