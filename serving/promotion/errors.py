"""What can go wrong between a pushed version and a served one."""

from schema.errors import AgNewsError


class PromotionError(AgNewsError):
    """The change was refused, or taken back; what was served before is served still."""

    exit_code = 7
