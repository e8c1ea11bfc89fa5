"""`shadowbus bundle`: a fitted estimator becomes a folder that a shadow can be loaded from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowbus.cli.console import emit, tell
from shadowbus.clock import now_ms
from shadowbus.cutoff import ASSUMED, SOURCES, moment, shown

if TYPE_CHECKING:
    from shadowbus.models.bundle import Bundle


def bundle(
    file: Annotated[Path, typer.Argument(help="The saved estimator: .skops, .joblib or a pickle.", show_default=False)],
    name: Annotated[str, typer.Option(help="The model's name.", show_default=False)],
    version: Annotated[str, typer.Option(help="The model's version.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The bundle's folder.", show_default=False)],
    features: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The features in training order; else the estimator's own.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Open a .joblib or pickle file, which runs the code in it.")
    ] = False,
    trust: Annotated[
        list[str] | None, typer.Option(metavar="TYPE", help="One more type that skops may build; repeat for more.")
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            "--try",
            metavar="FILE",
            help="Rows to ask the model now and at every load: JSON lines, or Parquet of the training data's types.",
        ),
    ] = None,
    trained_until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="The time of the newest record it was trained on, in ISO 8601 or milliseconds; else what MLflow or "
            "the file says, else now. What is from before it is no evidence.",
        ),
    ] = None,
) -> None:
    """Make a bundle: a folder with the model's file and a manifest that vouches for it."""
    from shadowbus.models.make import write_bundle

    made = write_bundle(
        file,
        name=name,
        version=version,
        out=out,
        features=None if features is None else [feature.strip() for feature in features.split(",")],
        now_ms=now_ms(),
        allow_pickle=allow_pickle,
        trusted=tuple(trust or ()),
        sample=sample,
        trained_until_ms=None if trained_until is None else moment(trained_until),
    )
    emit(str(made.folder))
    for line in _told(made):
        tell(line)


def _told(made: "Bundle") -> Iterator[str]:
    """What a person should know of a bundle that was made."""
    schema, names = made.manifest.input, made.features
    if schema is None:
        yield f"{made.model} was not opened: nothing was checked but its hash, {made.manifest.sha256}."
        return
    container = _CONTAINERS[schema.container]
    cutoff = made.manifest.cutoff
    if cutoff.source in ASSUMED:
        until = f"{shown(cutoff.until_ms)} UTC ({SOURCES[cutoff.source]})"
        yield f"It counts as trained until {until}; --trained-until TIME says otherwise."
    yield f"{made.model} reads {container}; its sha256 is {made.manifest.sha256}."
    if names is not None and schema.columns is not None:
        yield "Features: " + ", ".join(f"{column.name} ({column.type})" for column in schema.columns)
    elif schema.container not in ("texts", "dicts"):
        width = "any number of" if schema.columns is None else str(len(schema.columns))
        yield f"A row is a list of {width} values; with --features A,B,C it can be an object by name too."
    if schema.unknown:
        yield (
            f"The model does not tell the types of {', '.join(schema.unknown)}: give rows of the training data as "
            "Parquet, --sample rows.parquet, to be sure."
        )
    sample = made.read_sample()
    if sample is not None:
        lines = sample.splitlines()
        yield f"It answers the {len(lines)} rows of the sample; the first {min(SHOWN, len(lines))}:"
        for line in lines[:SHOWN]:
            yield (
                "  "
                + json.dumps(json.loads(line)["prediction"])
                + " for "
                + json.dumps(json.loads(line)["features"])[:160]
            )


SHOWN = 3
_CONTAINERS = {
    "numbers": "a matrix of numbers",
    "sparse": "a sparse matrix of numbers",
    "objects": "a matrix of values",
    "frame": "a pandas data frame",
    "texts": "one text a row",
    "dicts": "an object by name a row",
}
