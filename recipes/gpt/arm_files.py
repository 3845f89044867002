"""The configuration files that make an arm: names in recipes/configs or paths, joined by "+"."""

from __future__ import annotations

from pathlib import Path

from .config import CONFIGS


def arm_files(arm: str) -> list[Path]:
    """Return the YAML files of an arm.

    Raises:
        FileNotFoundError: One is not there.
    """
    files = []
    for part in arm.split("+"):
        file = Path(part) if Path(part).is_file() else CONFIGS / f"{part}.yaml"
        if not file.is_file():
            known = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
            raise FileNotFoundError(
                f"expected a YAML file or one of {known} in the arm {arm!r}, got {part!r}"
            )
        here = Path.cwd()
        files.append(file.relative_to(here) if file.is_relative_to(here) else file)  # for other machines
    return files


def arm_label(arm: str) -> str:
    """Return the name of an arm: those of its files."""
    return "+".join(Path(part).stem for part in arm.split("+"))
