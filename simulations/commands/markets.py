"""Markets: write them, split a table into one, and what federating is worth in one."""

from pathlib import Path
from typing import Annotated

import typer

from shared_model import files

from ..datasets import read
from ..experiment import load_experiment
from ..partition import write as write_market
from .asking import Data, ExperimentFile
from .console import console


def partition(
    experiment: ExperimentFile, out: Annotated[Path, typer.Option(help="Where to.")], data: Data = None
) -> None:
    """Write the merchants of an experiment as folders with their files and merchant.toml; train nothing."""
    loaded = load_experiment(experiment, data=data)
    written = write_market(read(loaded.market, experiment.parent), out)
    console.print(f"Wrote {len(written)} merchants to {out}. Look at one with:")
    contract = experiment.parent / loaded.experiment.contract
    console.print(f"  fedbazaar-client check {written[0]} --contract {contract}", soft_wrap=True)


def truth(
    experiment: ExperimentFile,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the answers there.")] = None,
) -> None:
    """Say what federating is worth in a scenario, in seconds: its right answer, with nothing trained."""
    from ..scenarios.answer import answers_of, table, to_json

    found = answers_of(experiment)
    if json_file:
        files.write(json_file, to_json(found), durable=False)
    console.print(table(found))


def split(
    file: Annotated[Path, typer.Argument(help="A CSV or Parquet file.", dir_okay=False)],
    out: Annotated[Path, typer.Option(help="Where to.")],
    by: Annotated[str, typer.Option(help="key, dirichlet, quantity or time (docs/datasets.md).")] = "key",
    column: Annotated[str, typer.Option(help="Of the key, of the label, or of time.")] = "",
    merchants: Annotated[int | None, typer.Option(help="How many; of a key the largest, or all.")] = None,
    minimum: Annotated[int | None, typer.Option(help="Rows of a key's value that is kept.")] = None,
    alpha: Annotated[float | None, typer.Option(help="Of dirichlet: small for mixes that differ.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Of quantity: spread of the sizes' logarithm.")] = None,
    together: Annotated[
        str | None, typer.Option(help="Column whose rows stay together; the unit by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of dirichlet and quantity.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="TASK=COLUMN; may be repeated.")] = None,
    feature: Annotated[list[str] | None, typer.Option(help="FEATURE=COLUMN; may be repeated.")] = None,
    time: Annotated[str, typer.Option(help="Column with the time of a row.")] = "",
    unit: Annotated[str, typer.Option(help="Column with the shopper of a row.")] = "",
    orders: Annotated[str, typer.Option(help="Rows are order lines in the columns of this preset.")] = "",
    validation_from: Annotated[str, typer.Option(help="First day of the validation, as 2024-10-01.")] = "",
    test_from: Annotated[str, typer.Option(help="First day of the test.")] = "",
) -> None:
    """Split a table of your own into merchants' folders, by a key or a made-up skew; train nothing."""
    from ..datasets.table.command import asked

    options = asked(
        file,
        table={
            "time": time,
            "unit": unit,
            "holds": "orders" if orders else "",
            "preset": orders,
            "validation_from": validation_from,
            "test_from": test_from,
        },
        partition={
            "by": by,
            "column": column,
            "merchants": merchants,
            "minimum": minimum,
            "alpha": alpha,
            "sigma": sigma,
            "together": together,
            "seed": seed,
        },
        labels=label or (),
        features=feature or (),
    )
    market = read(options)
    written = write_market(market, out)
    left_out = sum(market.dropped.values())
    console.print(f"Wrote {len(written)} merchants to {out}; {left_out} rows belong to none of them.")
