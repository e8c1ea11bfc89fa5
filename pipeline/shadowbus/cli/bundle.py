"""`shadowbus bundle`: a fitted estimator becomes a folder that a shadow can be loaded from."""

from pathlib import Path
from typing import Annotated

import typer

from shadowbus.cli.console import emit, tell
from shadowbus.clock import now_ms


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
) -> None:
    """Make a bundle: a folder with the model's file and a manifest that vouches for it."""
    from shadowbus.shadows.bundle import write_bundle

    made = write_bundle(
        file,
        name=name,
        version=version,
        out=out,
        features=None if features is None else [feature.strip() for feature in features.split(",")],
        now_ms=now_ms(),
        allow_pickle=allow_pickle,
        trusted=tuple(trust or ()),
    )
    emit(str(made.folder))
    count = "lists of any width" if made.features is None else f"{len(made.features)} features"
    tell(f"{made.model} takes {count}; its sha256 is {made.manifest.sha256}.")
