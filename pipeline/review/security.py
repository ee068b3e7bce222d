"""The tokens of approvers on the review site."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from schema.errors import SettingsError
from schema.files import read_small_file
from schema.wording import amount
from serving.audit import check_name

_MIN_LENGTH = 16


@dataclass(frozen=True)
class Tokens:
    """The tokens that authorize decisions.

    Attributes:
        shared: token of all approvers, who enter their own name; None if there is none.
        personal: token of each person, by the person's name.
    """

    shared: str | None
    personal: Mapping[str, str]

    def __bool__(self) -> bool:
        return self.shared is not None or bool(self.personal)

    def person(self, token: str, given: str) -> str | None:
        """Returns the name of the approver, or None if the token is wrong.

        The token is compared with all known tokens in constant time.

        Args:
            token: token in the form.
            given: name in the form; a personal token's own name takes precedence.
        """
        found = self._owner(token)
        if found is None and self.shared is not None and _is_equal(token, self.shared):
            found = given
        return found

    def is_personal(self, token: str) -> bool:
        """Returns whether the token is one person's."""
        return self._owner(token) is not None

    def _owner(self, token: str) -> str | None:
        found = None
        for name, own in self.personal.items():
            if _is_equal(token, own):
                found = name
        return found


def _is_equal(first: str, second: str) -> bool:
    return hmac.compare_digest(first.encode("utf-8", "surrogatepass"), second.encode())


def read_tokens(shared: str | None, file: Path | None) -> Tokens:
    """Reads the tokens given on the command line.

    Args:
        shared: token of all approvers, or None.
        file: file with one line "NAME TOKEN" per person, or None; lines that start with "#" are comments.

    Raises:
        SettingsError: the file cannot be read, a line is malformed, or a token is too short or used twice.
    """
    personal: dict[str, str] = {}
    if file is not None:
        try:
            lines = read_small_file(file).decode("utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise SettingsError(f"--token-file {file}: {error}; name a readable file") from error
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, _, token = line.strip().rpartition(" ")
            name = check_name(name, f"{file}, line {number}")
            if not name:
                raise SettingsError(f"{file}, line {number}: expected a name and a token, for instance: ann 0123…")
            _check_length(token, f"{file}, line {number}")
            if name in personal or token in personal.values():
                raise SettingsError(
                    f"{file}, line {number}: the name or token is already used above; each must be unique"
                )
            personal[name] = token
        if not personal:
            raise SettingsError(f"{file}: contains no token; write one line per person: NAME TOKEN")
    if shared is not None:
        _check_length(shared, "the token")
    return Tokens(shared, personal)


def _check_length(token: str, where: str) -> None:
    if len(token) < _MIN_LENGTH:
        raise SettingsError(
            f"{where} has {amount(len(token), 'character')} but needs at least {_MIN_LENGTH}; "
            "create a token with openssl rand -hex 16"
        )
