"""The root conftest: pytester may only be asked for here."""

pytest_plugins = ["pytester"]
