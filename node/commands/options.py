"""Options that the action at hand does not use: refused, not passed over.

Where one parser serves many actions, argparse takes every option for each of them. Such an option
has no default but None or False, by which it is known whether it was given.
"""

import argparse
from collections.abc import Mapping

from ledger.core.errors import TimmyError


def refuse_unused(
    arguments: argparse.Namespace,
    said: str,
    action: str,
    used_by: Mapping[str, tuple[str, tuple[str, ...]]],
) -> None:
    """Raise TimmyError for an option that `action` does not use.

    `said`: the action as it was typed. `used_by`: for each option, by its name among the arguments,
    how it is written and the actions that use it.
    """
    for name, (option, actions) in used_by.items():
        given = getattr(arguments, name)
        if given is not None and given is not False and action not in actions:
            raise TimmyError(
                f"{said} takes no {option}", hint=f"{option} is of {', '.join(actions)}"
            )
