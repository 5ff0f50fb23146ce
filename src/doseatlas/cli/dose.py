"""``doseatlas dose``: what dose objects mean for the patient. The commands are in the modules named after them."""

from __future__ import annotations

import typer

from doseatlas.cli import dose_entrance, dose_exam, dose_organs, dose_size, dose_skin, dose_split

app = typer.Typer(no_args_is_help=True, help="Doses to the patient that reports do not state.")
app.command("skin")(dose_skin.skin)
app.command("cumulative-skin")(dose_skin.cumulative_skin)
app.command("exam")(dose_exam.exam)
app.command("cumulative")(dose_exam.cumulative)
app.command("organs")(dose_organs.organs)
app.command("size")(dose_size.size)
app.command("entrance")(dose_entrance.entrance)
app.command("split")(dose_split.split)
