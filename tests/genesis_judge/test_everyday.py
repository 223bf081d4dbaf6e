"""What people say on any day, and the tools of a node: pinned for judges, held to what there is."""

import json
import math
from importlib import import_module
from pkgutil import iter_modules

import pytest

from genesis.core.draws import Draws
from genesis.judging import everyday
from runtime import tools
from runtime.core.tool import ToolSpec


def shipped():
    """Every spec of a tool in the modules of tools, by name."""
    found = {}
    for module in iter_modules(tools.__path__):
        for value in vars(import_module(f"{tools.__name__}.{module.name}")).values():
            specs = value if isinstance(value, tuple | list) else (value,)
            found |= {one.name: one for one in specs if isinstance(one, ToolSpec)}
    return found


def test_the_pinned_tools_are_those_that_there_are():
    assert everyday.TOOLS.keys() == shipped().keys()


@pytest.mark.parametrize("name", sorted(everyday.TOOLS))
def test_a_drawn_call_of_a_tool_has_arguments_that_it_takes(name):
    spec = shipped()[name]
    arguments = json.loads(everyday.arguments_of(Draws(bytes(32), name), name))
    spec.permission.specifier(arguments)  # raises CallRefused for what does not fit
    properties = spec.schema.get("properties", {})
    assert set(spec.schema.get("required", ())) <= arguments.keys() <= properties.keys()
    kinds = {"string": str, "integer": int, "array": list}
    assert all(type(value) is kinds[properties[key]["type"]] for key, value in arguments.items())


def test_a_plain_message_is_one_of_many():
    drawn = {everyday.sentences(Draws(bytes([n]), str(n)), 1) for n in range(200)}
    assert len(drawn) > 190
    assert not any("{" in text for text in drawn)
    ways = sum(
        math.prod(len(v) ** text.count(f"{{{k}}}") for k, v in everyday._FILLED.items())
        for text in everyday._SENTENCES
    )
    assert ways > 180_000  # as the module says
