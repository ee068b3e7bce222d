"""Reads the recipes to compare: each network with the trainer's settings, and with each variant of them."""

from collections.abc import Sequence
from typing import Any

import pydantic
import yaml

from components.trainer.settings import Recipe
from pipeline.settings import TrainerSettings
from pipeline.settings.sources import KEYS
from schema.errors import SettingsError


def named_recipes(settings: TrainerSettings, networks: Sequence[str], variants: Sequence[str]) -> dict[str, Recipe]:
    """Returns the recipe of each network and of each of its variants, by the name that the table shows.

    Args:
        settings: trainer settings.
        networks: names of architectures.
        variants: "name:key=value;key=value" with other trainer settings.

    Raises:
        SettingsError: a variant has no name, the name of another variant, or an invalid setting.
    """
    changes: dict[str, dict[str, Any]] = {}
    for variant in variants:
        name, found = _parse(variant)
        if name in changes:
            raise SettingsError(f"--variant {variant}: another variant has this name; give each its own name")
        changes[name] = found
    recipes = {}
    for network in networks:
        recipes[network] = _recipe(settings, network, {"architecture": network})
        for name, found in changes.items():
            recipes[f"{network}, {name}"] = _recipe(settings, f"--variant {name}", {"architecture": network, **found})
    return recipes


def _parse(variant: str) -> tuple[str, dict[str, Any]]:
    name, _, assignments = variant.partition(":")
    changes = {}
    for assignment in assignments.split(";"):
        key, separator, value = assignment.partition("=")
        if not (name and separator):
            raise SettingsError(f"--variant {variant}: expected NAME:KEY=VALUE, for instance 'no mask:masking=false'")
        if f"trainer.{key}" not in KEYS:
            raise SettingsError(f"--variant {variant}: unknown setting 'trainer.{key}'; `agnews config keys` lists all")
        try:
            changes[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise SettingsError(f"--variant {variant}: {key}: {value!r} is not valid YAML; quote it") from error
    return name, changes


def _recipe(settings: TrainerSettings, origin: str, changes: dict[str, Any]) -> Recipe:
    try:
        changed = TrainerSettings.model_validate(settings.model_dump() | changes)
    except pydantic.ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(("trainer", *map(str, wrong["loc"])))
        raise SettingsError(f"{origin}: {key}: {wrong['msg']} (received {wrong['input']!r})") from error
    return Recipe.from_config(changed.model_dump())
