"""An empty Typer program: the least that such a command line can cost."""

import typer

app = typer.Typer(add_completion=False)


@app.command()
def nothing() -> None:
    """Do nothing."""


app()
