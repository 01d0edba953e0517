"""The settings of `config.py`, read from the environment and checked.

`reading` reads all of them and collects the faults; the other modules each check one kind of text.
"""

from app.settings.reading import current_settings, read_settings, sign_of_production

__all__ = ["current_settings", "read_settings", "sign_of_production"]
