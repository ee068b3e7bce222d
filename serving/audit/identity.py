"""Identifies who performs an action: a user at a host, or the service that AGNEWS_IDENTITY names."""

import getpass
import os
import re
import socket
import unicodedata

from schema.errors import SettingsError

IDENTITY = "AGNEWS_IDENTITY"
_PUNCTUATION = frozenset(" .,_@+-'\N{RIGHT SINGLE QUOTATION MARK}()/:\\#&")
_WORD = re.compile(r"[^\W\d_]+")
# Scripts that are written together.
_TOGETHER = dict.fromkeys(("HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC"), "CJK")
# Letters of other scripts, in small letters, that look like a Latin one in small or in capital letters.
_LOOK_ALIKES = str.maketrans(
    "авеікмнорстухјѕһԁԛԝӏ" + "αβεζηικμνορτυχ" + "ıɑɡ",
    "abeikmhopctyxjshdqwl" + "abezhikmvoptyx" + "iag",
)


def identity() -> str:
    """Returns AGNEWS_IDENTITY if it is set, as for services; otherwise user@host.

    Raises:
        SettingsError: it is not a valid name, see `check_name`.
    """
    if given := os.environ.get(IDENTITY):
        return check_name(given, IDENTITY)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # A container's user may have only a number.
        user = f"uid {os.getuid()}"
    return check_name(f"{user}@{socket.gethostname()}", "the user and host; set AGNEWS_IDENTITY")


def check_name(name: str, source: str) -> str:
    """Returns the usual form of a person's name, which looks like no other person's.

    Args:
        name: the name as it was given, such as ann@host.
        source: where it was given, for the message.

    Returns:
        The name in Unicode's form NFKC, without spaces around it; empty if nothing was given.

    Raises:
        SettingsError: the name has characters other than letters, digits, spaces and common punctuation, such as
            invisible ones, or a word mixes the letters of two scripts.
    """
    normal = unicodedata.normalize("NFKC", readable(name)).strip()
    for character in normal:
        if unicodedata.category(character)[0] not in "LM" and not (character.isdecimal() or character in _PUNCTUATION):
            character_name = unicodedata.name(character, f"U+{ord(character):04X}")
            raise SettingsError(
                f"{source}: {name!a} is not a valid name, since it has the character {character_name}; use "
                "letters, digits, spaces and common punctuation"
            )
    for word in _WORD.findall(normal):
        if len(scripts := {_script(letter) for letter in word} - {""}) > 1:
            mixed = " and ".join(sorted(map(str.title, scripts)))
            raise SettingsError(
                f"{source}: {name!a} mixes {mixed} letters in one word, so that it looks like another name; write each "
                "word in one script"
            )
    return normal


def _script(letter: str) -> str:
    """Returns the script of a letter by the first word of its Unicode name, empty for a mark."""
    if unicodedata.category(letter)[0] == "M":
        return ""
    name = unicodedata.name(letter, "").partition(" ")[0]
    return _TOGETHER.get(name, name)


def person(who: str) -> str:
    """Returns what is the same for all names of one person, so that nobody approves their own request.

    That is the part before the host, in small letters, without invisible characters, with Latin letters instead of
    those of other scripts that look like them.
    """
    visible = "".join(one for one in unicodedata.normalize("NFKC", who) if unicodedata.category(one) != "Cf")
    return unicodedata.normalize("NFKC", visible.partition("@")[0].strip().casefold()).translate(_LOOK_ALIKES)


def readable(argument: str) -> str:
    """Replaces bytes that are not UTF-8, which the metadata store would refuse."""
    return os.fsencode(argument).decode("utf-8", "replace")
