"""Links inside a folder that wildcore writes: they are not followed, since they may lead to files of somebody else."""

from pathlib import Path

from wildcore.errors import Place, UserError


def require_no_link(path: Path) -> None:
    """Raise ``UserError`` if ``path`` is a link."""
    if path.is_symlink():
        raise UserError(
            "it is a link, and links are not followed here",
            Place(path),
            "put the file itself in its place, or remove it",
        )


def require_inside(root: Path, path: Path) -> None:
    """Raise ``UserError`` if ``path`` is a link, or if a link below ``root`` leads ``path`` out of ``root``.

    ``root`` itself may be a link.
    """
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"a link leads out of {root} ({path.parent.resolve()})",
            Place(path),
            "remove the link; the files are made anew",
        )
    require_no_link(path)
