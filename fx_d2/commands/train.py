r"""Trains or evaluates Foundation X.

    fx-d2 train --config-file configs/phantom.yaml
    fx-d2 train --config-file configs/phantom.yaml --resume
    fx-d2 train --config-file configs/phantom.yaml --eval-only \
        MODEL.WEIGHTS output/phantom/model_final.pth
    torchrun --nproc-per-node 4 -m fx_d2 train --config-file configs/phantom.yaml --resume

Flags, output folder and checkpoints follow Detectron2. Trailing KEY VALUE pairs override the configuration.

Exit codes: 0 done; 2 a mistake in a key, dataset or file, or numbers gone wrong (one line says what); 75 stopped by
SIGTERM, SIGINT or SIGUSR1 and saved, --resume goes on; 130 interrupted by a second Ctrl-C; 1 anything else.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from detectron2.engine import default_argument_parser, default_setup
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from fx_d2.checkpoint import load_configured
from fx_d2.engine.build import build_networks, build_precision, build_trainer, prepare
from fx_d2.engine.final_evaluation import evaluate_and_report
from fx_d2.engine.folder_lock import locked
from fx_d2.engine.hooks.heartbeat import last_evaluation
from fx_d2.engine.launch import launch_run
from fx_d2.engine.opening import announce, detectron2_in_the_file
from fx_d2.engine.output_folder import check_writable, rotate
from fx_d2.engine.preemption import StopRequest
from fx_d2.tooling import config_from_args


@contextlib.contextmanager
def output_folder(cfg):
    """The main process holds the folder for all processes of the run, before anything is written there."""
    if not comm.is_main_process():
        yield
        return
    folder = Path(cfg.OUTPUT_DIR)
    check_writable(folder)
    with locked(folder, cfg.FX.TAKE_OVER_SECONDS):
        rotate(folder / "log.txt")
        yield


def setup(cfg, args) -> None:
    """Logging, output folder and seeds as Detectron2 sets them up."""
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="fx_d2")
    prepare(cfg)
    with detectron2_in_the_file(cfg.OUTPUT_DIR):
        default_setup(cfg, args)  # writes config.yaml: only of a configuration that holds


def main(args):
    cfg = config_from_args(args)
    with StopRequest().listening() as stop, output_folder(cfg):
        comm.synchronize()  # the others write nothing before the folder is held
        setup(cfg, args)
        if args.eval_only:
            student, teacher = build_networks(cfg)
            load_configured(cfg, student, teacher)
            announce(cfg)
            return evaluate_and_report(cfg, student, teacher, build_precision(cfg))
        trainer = build_trainer(cfg, args.resume)
        trainer.stop = stop
        announce(cfg, trainer.schedule)
        trainer.train(trainer.start_iter, trainer.max_iter)
        with last_evaluation(trainer):
            stop.check()
            return evaluate_and_report(cfg, trainer.student, trainer.teacher, trainer.precision, trainer.max_iter)


def invoke_main() -> None:
    launch_run(main, default_argument_parser(epilog=__doc__).parse_args())
