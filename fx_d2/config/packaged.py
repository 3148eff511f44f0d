"""The configurations that come with the package: in its folder where it is installed, else those of the clone."""

from __future__ import annotations

from pathlib import Path

from ..data.errors import nearest


def _folder() -> Path:
    package = Path(__file__).parents[1]
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())


def get_config_file(config_path: str) -> str:
    """The path of a packaged configuration, as ``detectron2.model_zoo.get_config_file`` gives Detectron2's.

    Args:
        config_path: its name, such as ``phantom.yaml`` or ``finetune/jsrt.yaml``.

    Raises:
        ValueError: there is none of this name; the message has the nearest one.
    """
    folder = _folder()
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.yaml"))
    if config_path not in names:
        known = nearest(config_path, names, "there are")
        raise ValueError(f"no configuration {config_path!r} comes with fx_d2; {known}")
    return str(folder / config_path)


def find_config_file(name: str) -> str:
    """A file where it is, else the packaged configuration of that name (``phantom.yaml``, ``configs/phantom.yaml``).

    Raises:
        ValueError: neither is there.
    """
    if Path(name).expanduser().is_file():
        return name
    try:
        return get_config_file(name.removeprefix("configs/"))
    except ValueError as error:
        raise ValueError(f"{name}: there is no such file, and {error}") from None
