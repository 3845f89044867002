"""Pages and links that come from the repository's own files: committed results, the changelog, new pages."""

import os
import re
from pathlib import Path
from typing import Any

from sitekit.coverage import named_by
from sitekit.coverage import pages as reference
from sitekit.results import benchmark_page, files_of, index_page, result_page

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
RESULTS = DOCS / "results"
_LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#\s]+)(#[^)\s]*)?\)")


def folders() -> list[Path]:
    """The folders of committed results, the benchmarks' apart."""
    base = ROOT / "recipes" / "results"
    return sorted(path for path in (base, *base.rglob("*")) if path.is_dir() and files_of(path))


def slug(path: Path) -> str:
    """The page of a folder, or of a benchmark's file."""
    relative = path.relative_to(ROOT)
    return "-".join(part for part in relative.with_suffix("").parts if part not in ("recipes", "results"))


def write_pages() -> None:
    """Write a page for each folder of results and each benchmark into docs/results."""
    pages = {slug(path): result_page(path, ROOT) for path in folders()}
    benchmarks = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    pages |= {slug(path): benchmark_page(path, ROOT) for path in benchmarks}
    pages["index"] = index_page([slug(path) for path in folders()], [slug(path) for path in benchmarks])
    RESULTS.mkdir(exist_ok=True)
    for old in RESULTS.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        file = RESULTS / f"{name}.md"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


def site_target(target: str, at: Path) -> str:
    """Where a link between the repository's files leads on the site.

    Args:
        target: The link, relative to the file that has it; without an anchor.
        at: The folder of that file.

    Returns:
        A page of the site, from its root; or the target itself, where the site has no page for it.
    """
    if "://" in target or target.startswith(("/", "mailto:")):
        return target
    path = (at / target).resolve()
    results = ROOT / "recipes" / "results"
    named = {
        ROOT / "README.md": "/index.md",
        ROOT / "CHANGELOG.md": "/changelog.md",
        ROOT / "CONTRIBUTING.md": "/contributing.md",
        ROOT / "benchmarks" / "README.md": "/benchmarks.md",
    }
    if path.is_relative_to(results) and (path.is_dir() or path.suffix == ".md"):
        folder = path if path.is_dir() else path.parent
        if (
            folder not in folders()
            and len(parts := [part for part in folders() if folder in part.parents]) == 1
        ):
            folder = parts[0]
        return f"/results/{slug(folder)}.md" if folder in folders() else "/results/index.md"
    if path.parent == ROOT / "benchmarks" / "results" and path.suffix == ".md":
        return f"/results/{slug(path)}.md"
    if at != DOCS and path.is_file() and path not in named:
        return "/" + os.path.relpath(path, DOCS)
    return named.get(path, target)


def site_links(text: str, at: Path) -> str:
    """A Markdown text with its links led to pages of the site."""
    return _LINK.sub(lambda m: f"{m[1]}{site_target(m[2], at)}{m[3] or ''})", text)


def with_new_pages(text: str) -> str:
    """The index, with pages that it does not name in the place of `%more%`, so that no page is out of reach."""
    named = set(re.findall(r"^(?:.+ <)?([\w/]+)>?$", text, re.M))
    more = sorted(path.stem for path in DOCS.glob("*.md") if path.stem not in named | {"index"})
    return text.replace("%more%\n", "".join(f"{name}\n" for name in more))


def _source(app: Any, docname: str, source: list[str]) -> None:
    if docname == "index":
        source[0] = with_new_pages(source[0])
    path = Path(os.fspath(app.env.doc2path(docname)))
    if path.suffix == ".md":
        source[0] = site_links(source[0], path.parent)


def _included(app: Any, path: Path, parent: str, source: list[str]) -> None:
    if path.suffix == ".md":
        source[0] = site_links(source[0], (DOCS / path).resolve().parent)


def drop_old_names() -> None:
    """Remove what an earlier build wrote for names that are no longer there."""
    named = {name for text in reference().values() for name in named_by(text)}
    for file in (DOCS / "api" / "names").glob("*.rst"):
        if file.stem not in named:
            file.unlink()


def without_archives(text: str) -> str:
    """A page of the gallery without its link to a .zip, which holds the time of the build."""
    return re.sub(r"\n *\.\. container:: sphx-glr-download sphx-glr-download-zip\n\n.*\n", "\n", text)


def _drop_archives(app: Any) -> None:
    for page in (DOCS / "figures").glob("*.rst"):
        page.write_text(without_archives(page.read_text()))


def _prepare(app: Any, config: Any) -> None:
    write_pages()
    drop_old_names()


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them, and lead links within the site."""
    app.connect("config-inited", _prepare)
    app.connect("builder-inited", _drop_archives, priority=900)  # after the gallery is written
    app.connect("source-read", _source)
    app.connect("include-read", _included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
