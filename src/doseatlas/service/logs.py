"""What does the service write down? One JSON object a line on standard error, without patient data.

Objects are named by a hash of their SOP Instance UID: enough to find an object that one has, too little to learn of
one that one does not have.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import sys
import warnings
from typing import Any

LOGGER = logging.getLogger("doseatlas.service")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            # The text of an exception may quote an object; its type and place do not.
            line["exception"] = record.exc_info[0].__name__
            line["trace"] = _places(record.exc_info[2])
        return json.dumps(line, ensure_ascii=False)


def _places(trace: Any) -> list[str]:
    places = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places


def start_logging() -> None:
    """Send our events, and the warnings of what we stand on, to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    LOGGER.setLevel(logging.INFO)
    warnings.simplefilter("ignore")
    for chatty in ("pydicom", "pynetdicom", "uvicorn.access"):  # they quote peers and objects
        logging.getLogger(chatty).setLevel(logging.CRITICAL)


def log(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event; fields that are ``None`` are left out."""
    LOGGER.log(level, event, extra={"fields": {name: value for name, value in fields.items() if value is not None}})


def hashed(uid: str) -> str:
    """Return the name of an object in the log."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16]
