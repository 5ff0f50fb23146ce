"""A receiver as pynetdicom makes it: writes each object as it came, file and folder fsynced, and reads none of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

SUCCESS = 0x0000


def main(folder: Path, port: int) -> None:
    """Receive until killed."""

    def store(event: Event) -> int:
        unfinished = folder / f"{event.request.AffectedSOPInstanceUID}.tmp"
        with unfinished.open("wb") as file:
            file.write(event.encoded_dataset())
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(unfinished.with_suffix(".dcm"))
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)
        return SUCCESS

    entity = AE(ae_title="PYNETDICOM")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.maximum_associations = 250
    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store)])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
