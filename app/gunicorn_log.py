"""gunicorn's own lines, in the form of all others: `logger_class` in `gunicorn.conf.py` names it."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from app.logs import JsonLine


class JsonLogger(Logger):
    def setup(self, cfg: Any) -> None:
        """Format what gunicorn logs as JSON, wherever `--log-file` sends it."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JsonLine())
        if cfg.accesslog:
            self.warning("--access-logfile has no effect: KEYTURN_ACCESS_LOG=on writes a line for each request")

    def access(self, *_: Any) -> None:
        """Log nothing: gunicorn's line would have the query, and with it any secret in it."""
