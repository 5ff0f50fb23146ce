"""The command line: ``doseatlas``. One thin module per command group; nothing heavy is imported before it is needed.

Exit status: 0 all well; 1 done, but something was refused; 2 wrong usage or settings; 3 could not be done (store,
disk, permission); 130 interrupted; 70 a defect of ours.
"""

from __future__ import annotations

import os
import sys

EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_FAILED = 3
EXIT_DEFECT = 70
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line and leave with a documented exit status; never with a traceback."""
    from doseatlas.cli.app import app
    from doseatlas.model import DoseAtlasError, SettingsError

    try:
        app()
    except BrokenPipeError:
        # The reader of our output (head, less) has left: that is not an error. Python would complain at its own exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        _leave(EXIT_INTERRUPTED, "Interrupted. What was reported as done is kept; run the same command again to go on.")
    except SettingsError as error:
        _leave(EXIT_USAGE, str(error))
    except DoseAtlasError as error:
        _leave(EXIT_FAILED, str(error))
    except OSError as error:
        _leave(EXIT_FAILED, f"{error.strerror or error}: {error.filename or 'the system refused the operation'}.")
    except MemoryError:
        _leave(EXIT_FAILED, "Memory ran out. Import fewer paths at a time, or set jobs = 1.")
    except Exception as error:
        if os.environ.get("DOSEATLAS_DEBUG"):
            raise
        _leave(
            EXIT_DEFECT,
            f"This should not happen ({type(error).__name__}: {error}). Set DOSEATLAS_DEBUG=1, run it again and "
            "send the trace to the project with what you did; leave out patients' data.",
        )


def _leave(status: int, sentence: str) -> None:
    print(f"doseatlas: {sentence}", file=sys.stderr)
    sys.exit(status)
