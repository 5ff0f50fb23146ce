"""What the rooms that meet other machines share: TLS by BCP 195, the SOP classes that may hold a dose, who sent what,
and where what is refused is kept.
"""

from doseatlas.network.quarantine import Quarantine, Quarantined
from doseatlas.network.sender import Sender, Via
from doseatlas.network.spoken import SopClass, sop_classes, transfer_syntaxes
from doseatlas.network.tls import client_context, server_context

__all__ = [
    "Quarantine",
    "Quarantined",
    "Sender",
    "SopClass",
    "Via",
    "client_context",
    "server_context",
    "sop_classes",
    "transfer_syntaxes",
]
