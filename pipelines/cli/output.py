"""Results as people and programs read them: a table, CSV, JSON or Parquet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import click
import polars as pl

from .errors import Failure
from .options import together
from .readable import readable
from .table import table

FORMATS: Final = ("table", "csv", "json", "parquet")

written = together(
    click.option(
        "--format",
        "form",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to write the result.",
    ),
    click.option(
        "--output",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write to a file in place of standard output.",
    ),
)


def write(
    frame: pl.DataFrame, form: str, output: Path | None = None, repeated: Sequence[str] = ()
) -> None:
    """Write a frame.

    Parameters
    ----------
    form
        One of `FORMATS`. CSV and JSON hold instants in ISO 8601, and decimals with all their
        digits (JSON: as text); bytes are text where they are UTF-8, else hexadecimal.
    output
        A file; None: standard output.
    repeated
        Columns that a table too wide for one block repeats in each.

    Raises
    ------
    Failure
        Parquet would go to a terminal.
    """
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise Failure("parquet is for a file: give --output FILE, or redirect standard output")
    if output is None:
        sys.stdout.flush()
        _write(frame, form, sys.stdout.buffer, repeated)
    else:
        with output.open("wb") as file:
            _write(frame, form, file, repeated)


def _write(frame: pl.DataFrame, form: str, file: IO[bytes], repeated: Sequence[str]) -> None:
    if form == "parquet":
        frame.write_parquet(file)
    elif form == "csv":
        _texts(frame).write_csv(file)
    elif form == "json":
        decimals = [column.cast(pl.String) for column in frame if column.dtype.is_decimal()]
        file.write(_texts(frame).with_columns(decimals).write_json().encode() + b"\n")
    else:
        file.writelines(f"{line}\n".encode() for line in table(frame, repeated))
    file.flush()


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns([readable(column) for column in frame])
