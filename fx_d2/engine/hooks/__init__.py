"""One hook a file; :mod:`fx_d2.engine.build` puts them in order and says why."""

from .best import BestCheckpoint
from .evaluation import Evaluation
from .heartbeat import Heartbeat
from .learning_rate import LearningRate
from .lock_release import LockRelease
from .progress import ProgressPrinter
from .run_record import RunRecord
from .save import SaveCheckpoint
from .teacher import TeacherEMA
from .unit_scores import UnitScores

__all__ = [
    "BestCheckpoint",
    "Evaluation",
    "Heartbeat",
    "LearningRate",
    "LockRelease",
    "ProgressPrinter",
    "RunRecord",
    "SaveCheckpoint",
    "TeacherEMA",
    "UnitScores",
]
