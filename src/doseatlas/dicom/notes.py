"""What must a reader of the values know? Collected while an object is read, each thing once, however often met."""

from __future__ import annotations

from doseatlas.model import Note

_SHOWN = 3


class Notes:
    """Collects notes; the same code about the same thing becomes one note that says how often."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], list[str]] = {}
        self.count = 0  # of additions, so that a caller sees whether it caused one

    def add(self, code: str, about: str, detail: str = "") -> None:
        """Note something: ``about`` is the sentence, ``detail`` the value that differs from case to case."""
        details = self._found.setdefault((code, about), [])
        details.append(detail)
        self.count += 1

    def collected(self) -> tuple[Note, ...]:
        """Return the notes in the order in which they first came up."""
        return tuple(
            Note(code=code, message=_sentence(about, details)) for (code, about), details in self._found.items()
        )


def _sentence(about: str, details: list[str]) -> str:
    stated = list(dict.fromkeys(detail for detail in details if detail))
    shown = f" ({', '.join(stated[:_SHOWN])}{', ...' if len(stated) > _SHOWN else ''})" if stated else ""
    times = f", {len(details)} times" if len(details) > 1 else ""
    return f"{about}{shown}{times}."
