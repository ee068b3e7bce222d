"""Reads the statements of the model's owner from `schema/model_card.yaml`, which are checked before a run begins."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import schema
from schema.errors import SettingsError
from schema.files import read_small_file

OWNER_FILE = Path(schema.__file__).with_name("model_card.yaml")

Text = Annotated[str, Field(min_length=1)]


class _Statement(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Owner(_Statement):
    """The person or team responsible for the model."""

    name: Text
    contact: Text


class DataStatement(_Statement):
    """The origin and the terms of use of the data."""

    name: Text
    link: Annotated[str, Field(pattern=r"^https?://\S+$")]
    license: Text
    sensitive: tuple[Text, ...]


class Risk(_Statement):
    """An ethical risk and its mitigation."""

    risk: Text
    mitigation: Text


class OwnerStatements(_Statement):
    """The statements of a card that no run can know."""

    name: Text
    overview: Text
    owners: Annotated[tuple[Owner, ...], Field(min_length=1)]
    data: DataStatement
    users: tuple[Text, ...]
    use_cases: Annotated[tuple[Text, ...], Field(min_length=1)]
    out_of_scope: tuple[Text, ...]
    limitations: Annotated[tuple[Text, ...], Field(min_length=1)]
    tradeoffs: tuple[Text, ...]
    ethical_considerations: tuple[Risk, ...]


def read_owner_statements(path: Path) -> OwnerStatements:
    """Reads and checks the owner's file.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown, missing or invalid; the message names the key.
    """
    try:
        content = yaml.safe_load(read_small_file(path).decode("utf-8"))
        return OwnerStatements.model_validate(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read as YAML: {error}; a run needs it for the card") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors())
        raise SettingsError(f"{path}: {wrong}; correct these keys, a run needs them for the card") from error
