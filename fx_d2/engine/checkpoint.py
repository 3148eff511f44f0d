"""Checkpoints: student, teacher, trainer and the class names of every branch in one file."""

from __future__ import annotations

from detectron2.checkpoint import DetectionCheckpointer

from ..modeling import FoundationX, ModelEMA

BEST = "model_best"


def class_names(model: FoundationX) -> dict[str, list[str]]:
    """Classes of every unit, as stored in a checkpoint."""
    return {str(unit): list(classes.names) for unit, classes in model.classes.items()}


def exclusive_units(model: FoundationX) -> list[str]:
    """Units whose classes exclude each other: a prediction must know without the dataset's files."""
    return [str(unit) for unit, classes in model.classes.items() if classes.exclusive]


class FXCheckpointer(DetectionCheckpointer):
    """Keys ``model`` (student), ``teacher``, ``trainer`` (iteration, optimizer, hooks), ``classes``, ``exclusive``,
    ``iteration``.

    Raises (on loading):
        ValueError: a unit of the file has other classes, or another order, than the configuration.
        FileNotFoundError: there is no such file.
    """

    def __init__(self, model: FoundationX, teacher: ModelEMA, save_dir: str = "", **checkpointables) -> None:
        super().__init__(model, save_dir, teacher=teacher, **checkpointables)

    def save(self, name: str, **extra) -> None:
        super().save(name, classes=class_names(self.model), exclusive=exclusive_units(self.model), **extra)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        # A run resumes where it stopped, not where it was best.
        if last_filename_basename != f"{BEST}.pth":
            super().tag_last_checkpoint(last_filename_basename)

    def load(self, path: str, *args, **kwargs) -> dict:
        if path and "://" not in path and not self.path_manager.isfile(path):
            raise FileNotFoundError(f"checkpoint {path!r} not found: check MODEL.WEIGHTS")
        return super().load(path, *args, **kwargs)

    def _load_model(self, checkpoint: dict):
        stored = checkpoint.pop("classes", {})
        for unit, names in class_names(self.model).items():
            if unit in stored and stored[unit] != names:
                raise ValueError(
                    f"the checkpoint's {unit} was trained with classes {stored[unit]}, the configuration has {names}; "
                    "give the dataset the classes of the file, in its order, or another name"
                )
        return super()._load_model(checkpoint)
