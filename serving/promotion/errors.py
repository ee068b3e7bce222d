"""Errors between a pushed version and a served one."""

from schema.errors import AgNewsError


class PromotionError(AgNewsError):
    """The change was refused or undone; the versions served before are still served."""

    exit_code = 7
