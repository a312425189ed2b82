"""Typed access to the values."""

from iniparse.parser import parse

_TRUE = {"1", "yes", "true", "on"}
_FALSE = {"0", "no", "false", "off"}
_MISSING = object()


class Config:
    def __init__(self, text="", defaults=None):
        self._sections = parse(text)
        self._defaults = {key.lower(): value for key, value in (defaults or {}).items()}

    def sections(self):
        return [name for name in self._sections if name]

    def get(self, section, key, default=_MISSING):
        """The value as text; then the default given here, then the one of the constructor."""
        values = self._sections.get(section, {})
        if key.lower() in values:
            return values[key.lower()]
        if default is not _MISSING:
            return default
        if key.lower() in self._defaults:
            return self._defaults[key.lower()]
        raise KeyError(f"{section}.{key}")

    def get_int(self, section, key, default=_MISSING):
        return int(self.get(section, key, default))

    def get_bool(self, section, key, default=_MISSING):
        text = str(self.get(section, key, default)).lower()
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(f"{section}.{key}: not a truth value: {text!r}")

    def get_list(self, section, key, default=_MISSING):
        """Values separated by commas; empty ones are left out."""
        text = self.get(section, key, default)
        return [part.strip() for part in text.split(",") if part.strip()]
