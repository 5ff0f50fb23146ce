"""What does the terminal show of a report? Typical values beside their reference levels, and what to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from doseatlas.analysis import ExamsStandOut, FacilityReport, TypicalValue
from doseatlas.report import sentences, words
from doseatlas.report.arrange import chapters
from doseatlas.report.printable import printable

if TYPE_CHECKING:
    from rich.console import Console

MOST_ROWS = 12
COLOURS = {"above": "bold red", "within": "green"}


def print_summary(report: FacilityReport, console: Console) -> None:
    """Print the report's headline, its most important typical values and the state of the data."""
    from rich.markup import escape

    report = printable(report)
    console.print(f"[bold]{escape(report.title)}[/bold]")
    console.print(escape(sentences.scope(report)))
    if report.dose_values == "corrected":
        console.print(escape(sentences.dose_values(report)))
    for step in sentences.next_steps(report):
        console.print(escape(step))
    if report.typical_values:
        _print_values(report, console)
        console.print(f"[bold]{escape(sentences.headline(report))}[/bold] {escape(sentences.not_compared(report))}")
        for number, finding in enumerate(report.findings, start=1):
            told = sentences.attention(finding, report.drl_name)
            console.print(f"{number}. [bold]{escape(told.title)}.[/bold] {escape(told.why)}")
    if report.exam_count:
        if not any(isinstance(finding, ExamsStandOut) for finding in report.findings):
            console.print(escape(sentences.standing_out(report)))
        console.print(escape(sentences.counted(report)))
    if report.skin_trigger_count:
        console.print(escape(sentences.skin_doses(report)))
    refused = sum(reason.count for reason in report.quality.refused)
    if refused:
        console.print(escape(f"{words.plural(refused, 'object was', 'objects were')} refused: doseatlas refused."))


def _print_values(report: FacilityReport, console: Console) -> None:
    """Print the values that can be compared, worst first, then the most frequent others."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    values = sorted(_shown(report), key=_interest)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("procedure · patients", overflow="fold", ratio=3)
    table.add_column("quantity", overflow="fold", ratio=2)
    for heading in ("n", "median", "DRL", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for value in values[:MOST_ROWS]:
        colour = COLOURS.get(value.verdict, "default")
        verdict = f"{words.VERDICT_MARKS[value.verdict]} {words.VERDICT_WORDS[value.verdict]}"
        table.add_row(
            escape(sentences.subject(value.procedure, value.patient_group)),
            escape(f"{words.quantity_name(value.quantity, value.phantom_cm)}, {words.unit(value.quantity)}"),
            words.count(value.n),
            words.dose(value.median),
            words.level_value(value.reference.value) if value.reference else "–",
            words.ratio(value.ratio),
            f"[{colour}]{verdict}[/{colour}]",
        )
    console.print(table)
    if len(values) > MOST_ROWS:
        console.print(f"{words.count(len(values) - MOST_ROWS)} more typical values are in the report.")


def _shown(report: FacilityReport) -> list[TypicalValue]:
    return [quantity.value for chapter in chapters(report) for block in chapter.blocks for quantity in block.quantities]


def _interest(value: TypicalValue) -> tuple[int, float]:
    judged = value.verdict in ("above", "within")
    return (0, -(value.ratio or 0)) if judged else (1, -value.n)
