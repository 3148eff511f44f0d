"""FX.DETERMINISTIC: two runs agree to the last bit, also when one is stopped and goes on.

On the CPU the key changes nothing; the same test shows that, too.
"""

import pytest

from fx_d2.device import resolve_device
from fx_d2.engine.preemption import Preempted
from tests.engine.runs import assert_same, short_config, train
from tests.gpu.steps import needs_gpu

DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]


def run(cohort, folder, device, deterministic, stop=None):
    """The state after a cycle; ``stop``: the iteration before which a run is stopped, to be resumed."""
    cfg = short_config(cohort, folder, **{"FX.CYCLE.COUNT": 1, "FX.EVAL.CYCLES": 0, "MODEL.DEVICE": device})
    cfg.FX.DETERMINISTIC = deterministic
    resolve_device(cfg)
    if stop is not None:
        with pytest.raises(Preempted):
            train(cfg, prepare_trainer=lambda trainer: stop_at(trainer, stop))
    trainer = train(cfg, resume=stop is not None)
    assert trainer.start_iter == (0 if stop is None else stop + 1)
    return {
        "student": trainer.student.state_dict(),
        "teacher": trainer.teacher.state_dict(),
        "optimizer": trainer.optimizer.state_dict()["state"],
    }


def stop_at(trainer, iteration):
    step = trainer.run_step

    def stopped_step():
        if trainer.iter == iteration:
            trainer.stop.received = "SIGTERM"
        step()

    trainer.run_step = stopped_step


@pytest.mark.usefixtures("fresh_catalog")
@pytest.mark.parametrize("device", DEVICES)
def test_two_runs_agree_to_the_last_bit(device, cohort, tmp_path, restored_kernels):
    """Findings, boxes and masks; the second run is stopped in a released pass of boxes, and goes on."""
    unbroken = run(cohort, tmp_path / "a", device, deterministic=device == "cuda")
    stopped = run(cohort, tmp_path / "b", device, deterministic=True, stop=5)
    assert len(unbroken["optimizer"]) > 100
    assert_same(unbroken, stopped)
