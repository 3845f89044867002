"""The README's picture, of the gallery's script: `python docs/sitekit/readme_pictures.py`, with matplotlib."""

import runpy
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1]


def main() -> None:
    """Run the script, and save its figure."""
    import matplotlib  # noqa: PLC0415

    matplotlib.use("agg")
    sys.path.insert(0, str(DOCS.parent))
    figure = runpy.run_path(str(DOCS / "gallery" / "plot_2_leaks.py"))["figure"]
    figure.savefig(DOCS / "pictures" / "leaks.png", dpi=90, metadata={"Software": None})


if __name__ == "__main__":
    main()
