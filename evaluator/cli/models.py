"""``umd models``: the zoo."""

from __future__ import annotations

import json

import click


@click.group(epilog="Example: umd models list")
def models() -> None:
    """List, build and check the models of the zoo."""


@models.command("list", epilog="Example: umd models list --json")
@click.option("--json", "as_json", is_flag=True, help="One object for each model.")
def list_(as_json: bool) -> None:
    """List every model that has a Dockerfile, built or not."""
    from evaluator.build import broken_models, is_built, zoo
    from evaluator.errors import EngineUnavailable

    for model in zoo():
        card = model.card
        try:
            built: bool | None = is_built(model)
        except EngineUnavailable:
            built = None
        inputs = " | ".join("+".join(names) for names in card.inputs)
        if as_json:
            body = {
                "name": model.name,
                "title": card.title,
                "inputs": card.inputs,
                "prompts": card.prompts,
                "targets": card.targets or "*",
                "gpu": card.gpu,
                "session": card.session,
                "rounds": "many" if card.many_rounds else "one",
                "built": built,
                "labels": dict(card.labels),
            }
            click.echo(json.dumps(body))
        else:
            told = {True: "built", False: "not built", None: "no engine"}[built]
            click.echo(f"{model.name:20} {told:10} {inputs:14} {','.join(card.prompts) or 'automatic':16} {card.title}")
    for name, why in broken_models().items():
        click.echo(f"{name:20} {why}", err=True)


@models.command(epilog="Example: umd models build region-growing")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "--flavour", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True, help="Of umd/torch."
)
def build(names: tuple[str, ...], flavour: str) -> None:
    """Build the images of models NAMES (and the base images under them)."""
    from evaluator.build import ensure_image, find_model

    for model in [find_model(name) for name in names]:
        image = ensure_image(model, say=lambda line: click.echo(line, err=True), flavour=flavour)  # type: ignore[arg-type]
        click.echo(f"{image.reference} {image.digest}")


@models.command(epilog="Example: umd models check region-growing")
@click.argument("name")
@click.option("--engine", type=click.Choice(["auto", "docker", "podman", "local"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One object for each check.")
def check(name: str, engine: str, as_json: bool) -> None:
    """Ask model NAME questions in its container and see whether it keeps the contract. Exit code 1 if it does not."""
    from evaluator.check_model import check_model

    kept = True
    for result in check_model(name, engine, say=lambda line: click.echo(line, err=True)):
        kept = kept and result.ok
        if as_json:
            click.echo(json.dumps({"check": result.check, "ok": result.ok, "detail": result.detail}))
        else:
            click.echo(f"{'ok  ' if result.ok else 'FAIL'} {result.check}: {result.detail}")
    raise SystemExit(0 if kept else 1)
