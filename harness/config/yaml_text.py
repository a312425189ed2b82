"""Recipes as YAML, with the numbers of YAML 1.2: PyYAML follows 1.1, in which ``1e-6`` is text."""

import re

import yaml

from trajectories.types import JSON

_FLOAT = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$")


class _Loader(yaml.SafeLoader):
    """Reads ``1e-6`` as a number."""


class _Dumper(yaml.SafeDumper):
    """Quotes a text that would be read as a number."""


_Loader.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))
_Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, list("-+.0123456789"))


def read_yaml(text: str) -> JSON:
    """Read YAML. Raises yaml.YAMLError.

    >>> read_yaml("[1e-6, 3E4, '1e-6', 1e-6x]")
    [1e-06, 30000.0, '1e-6', '1e-6x']
    """
    return yaml.load(text, Loader=_Loader)


def write_yaml(table: JSON) -> str:
    """Write YAML that :func:`read_yaml` reads back, keys in order.

    >>> write_yaml({"rate": 1e-6, "revision": "1e6"})
    "rate: 1.0e-06\\nrevision: '1e6'\\n"
    """
    return str(yaml.dump(table, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
