"""Every configuration key of fx_d2, declared once with a comment. The checks are in :mod:`.check`."""

from __future__ import annotations

import importlib

from detectron2.config import CfgNode, get_cfg

from ..schedule import TASKS
from .dataset_options import DATASET_OPTIONS
from .node import Config


def add_fx_config(cfg: CfgNode) -> None:
    """Adds the keys of fx_d2 to a Detectron2 configuration and sets the method's defaults."""
    # Registers what MODEL.META_ARCHITECTURE and MODEL.BACKBONE.NAME name, without which Detectron2's build_model fails.
    # By name and at the call, since the network imports this package. It adds nothing to the time of the import.
    importlib.import_module("fx_d2.modeling")
    # YAML files that declare datasets; a relative path is looked up in the working folder, then in the data root.
    cfg.DATASETS.FILES = []
    # How a built-in dataset is read, such as OPTIONS.chexpert.uncertain; dataset_options.py has all options.
    cfg.DATASETS.OPTIONS = CfgNode()
    for name, options in DATASET_OPTIONS.items():
        cfg.DATASETS.OPTIONS[name] = CfgNode({key: option.default for key, option in options.items()})
    # Train on this many images of each dataset, chosen by SEED; 0: all.
    cfg.DATASETS.FEW_SHOT = 0

    # ---- input ----------------------------------------------------------------------------------------------
    # Side of the square that images are resized to, in pixels.
    cfg.INPUT.SIZE = 224
    # Detectron2's DefaultPredictor hands over the original image: the network resizes it as it does everywhere.
    cfg.INPUT.MIN_SIZE_TEST = 0
    # True keeps the aspect ratio and pads; False stretches to the square. Predictions come back in original pixels.
    cfg.INPUT.LETTERBOX = False
    # Random resized crop, as (smallest, largest) share of the area; [1, 1] switches it off. One pair per task.
    cfg.INPUT.CROP_AREA = CfgNode({"CLS": [0.3, 1.0], "BOX": [1.0, 1.0], "MASK": [1.0, 1.0]})
    # Rotation up to this many degrees, either way.
    cfg.INPUT.ROTATION = CfgNode({"CLS": 7.0, "BOX": 0.0, "MASK": 10.0})
    # Random scale, as (smallest, largest) factor, and shift, as share of the side.
    cfg.INPUT.SCALE = CfgNode({"CLS": [1.0, 1.0], "BOX": [1.0, 1.0], "MASK": [0.9, 1.1]})
    cfg.INPUT.SHIFT = CfgNode({"CLS": 0.0, "BOX": 0.0, "MASK": 0.06})
    # Probability of a horizontal flip. Left and right classes are exchanged with it.
    cfg.INPUT.FLIP = CfgNode({"CLS": 0.5, "BOX": 0.5, "MASK": 0.5})
    # Largest change of brightness (share of full scale), contrast (factor), gamma (exponent); 0 switches one off.
    cfg.INPUT.BRIGHTNESS = 0.1
    cfg.INPUT.CONTRAST = 0.2
    cfg.INPUT.GAMMA = 0.2
    # The teacher sees a second photometric view of the same geometric view; False: the student's own image.
    cfg.INPUT.TEACHER_VIEW = True
    # Images with a longer side are reduced to it on reading; 0: never. For SIZE 224 512 is enough (docs/loading.md).
    cfg.INPUT.READ_SIDE = 0
    # Grey of pixels deeper than 8 bits whose file does not say how they are shown: declared, by the bits of the file;
    # range, by the values in use, for washed-out images (docs/images.md).
    cfg.INPUT.GREY = "declared"
    # Decoded images kept on disk (docs/images.md). MODE: auto keeps DICOM, MetaImage and JSRT files, all PNG and JPEG
    # files, too, off nothing. DIR: the folder; empty: $FX_D2_CACHE or fx_d2 in the user's cache folder. MAX_GB: bound.
    cfg.INPUT.CACHE = CfgNode({"MODE": "auto", "DIR": "", "MAX_GB": 50.0})
    # Batches that each of DATALOADER.NUM_WORKERS processes reads ahead; 2.4 MB of memory each (24 images of 224).
    cfg.DATALOADER.PREFETCH = 8

    # ---- the model ------------------------------------------------------------------------------------------
    cfg.MODEL.META_ARCHITECTURE = "FoundationX"
    cfg.MODEL.MASK_ON = False
    # What is taken from the file MODEL.WEIGHTS: auto (the student; the teacher of an Ark file), student, teacher, or
    # backbone (of the network that auto takes, and nothing else).
    cfg.MODEL.WEIGHTS_PART = "auto"
    # Least share of the backbone's parameters that the file must give, 0..1.
    cfg.MODEL.MIN_BACKBONE = 1.0
    # One mean and standard deviation per task, on the scale 0..1 of a grey image.
    cfg.MODEL.PIXEL = CfgNode()
    for task in TASKS:
        cfg.MODEL.PIXEL[task.upper()] = CfgNode({"MEAN": [0.5056], "STD": [0.252]})

    cfg.MODEL.BACKBONE.NAME = "FXSwin"
    cfg.MODEL.SWIN = CfgNode()
    cfg.MODEL.SWIN.PATCH_SIZE = 4
    cfg.MODEL.SWIN.EMBED_DIM = 128
    cfg.MODEL.SWIN.DEPTHS = [2, 2, 18, 2]
    cfg.MODEL.SWIN.NUM_HEADS = [4, 8, 16, 32]
    cfg.MODEL.SWIN.WINDOW_SIZE = 7
    cfg.MODEL.SWIN.MLP_RATIO = 4.0
    # Stochastic depth, rising linearly from 0 at the first block to this rate at the last.
    cfg.MODEL.SWIN.DROP_PATH_RATE = 0.2
    # Trade time for memory: keep no activations inside a block, compute them again in the backward pass.
    cfg.MODEL.SWIN.CHECKPOINT = False
    # Reference switch: shift windows even where the map is a single window (the published weights need it).
    cfg.MODEL.SWIN.SHIFT_SINGLE_WINDOW = False
    # Shift the map, then pad it to whole windows, as timm does; by default pad first, as detectors and the reference
    # do. It matters where a map is no whole number of windows (not at 224 with windows of 7).
    cfg.MODEL.SWIN.SHIFT_BEFORE_PADDING = False

    cfg.MODEL.BOX = CfgNode()
    # per_dataset (Foundation X): a decoder, queries and heads per dataset; shared (X+): one decoder for all.
    cfg.MODEL.BOX.LAYOUT = "per_dataset"
    cfg.MODEL.BOX.DIM = 256
    cfg.MODEL.BOX.NUM_HEADS = 8
    cfg.MODEL.BOX.NUM_POINTS = 4
    cfg.MODEL.BOX.FFN_DIM = 2048
    cfg.MODEL.BOX.ENCODER_LAYERS = 6
    cfg.MODEL.BOX.DECODER_LAYERS = 6
    cfg.MODEL.BOX.NUM_QUERIES = 900
    cfg.MODEL.BOX.TEMPERATURE = 20.0
    # Side of a level-0 proposal as a share of the image; it doubles at every level.
    cfg.MODEL.BOX.ANCHOR_SIZE = 0.05
    # Contrastive denoising: about twice this many noised queries in all; 0 switches it off.
    # GROUPS sets their number of copies of the truth instead (0: as many as QUERIES allows).
    cfg.MODEL.BOX.DENOISING = CfgNode({"QUERIES": 100, "GROUPS": 0, "LABEL_NOISE": 0.5, "BOX_NOISE": 1.0})
    cfg.MODEL.BOX.COST = CfgNode({"CLASS": 2.0, "BOX": 5.0, "GIOU": 2.0})
    cfg.MODEL.BOX.LOSS = CfgNode({"CLASS": 1.0, "BOX": 5.0, "GIOU": 2.0})
    # Weight of the losses of the proposals; 0 is what the reference does (its selection stays random).
    cfg.MODEL.BOX.PROPOSAL_LOSS = 1.0
    # Detections kept per image.
    cfg.MODEL.BOX.TOPK = 300
    # Trade time for memory, as MODEL.SWIN.CHECKPOINT: compute encoder and decoder layers again in the backward pass.
    cfg.MODEL.BOX.CHECKPOINT = False
    # Deformable sampling: plain (PyTorch), or triton: our own CUDA kernels, compiled at the first batch of boxes; auto:
    # triton on a GPU with the package triton, else plain.
    cfg.MODEL.BOX.SAMPLING = "auto"
    # Reference switches of the box head; published weights compute the same only with them.
    # Outputs of every class layer: a dataset's first class is output 1 (its COCO category id), output 0 and those
    # beyond its classes mean nothing. 14 in the published weights; 0: as many as the dataset has classes.
    cfg.MODEL.BOX.CLASS_LOGITS = 0
    # A linear layer per decoder on the encoder's memory, before selector and decoder (Foundation X).
    cfg.MODEL.BOX.MEMORY_PROJECTION = False
    # A box head of its own for the boxes handed from layer to layer (Foundation X); False: the output's head refines.
    cfg.MODEL.BOX.REFINE_HEADS = False
    # The selector's linear layer and norm; Foundation X+ goes from the memory straight to the proposal heads.
    cfg.MODEL.BOX.SELECTOR_LAYER = True
    # Consistency of decoder states and selected tokens, without a gradient: it only halves the task loss.
    cfg.MODEL.BOX.COMPARE_DECODER = False
    # Weight of the encoder's squared parameters in the loss of box units (1e-4 in the published training).
    cfg.MODEL.BOX.ENCODER_L2 = 0.0

    cfg.MODEL.MASK = CfgNode()
    cfg.MODEL.MASK.POOL_BINS = [1, 2, 4, 6]
    cfg.MODEL.MASK.DROPOUT = 0.1
    # Weights of the two mask losses.
    cfg.MODEL.MASK.LOSS = CfgNode({"DICE": 1.0, "BCE": 1.0})
    # Reference switch: one Dice over the flattened batch instead of one per channel.
    cfg.MODEL.MASK.FLAT_DICE = False
    # Reference switch: consistency of the pyramid's lateral of stage 4 instead of stage 4 itself.
    cfg.MODEL.MASK.COMPARE_LATERAL = False
    # Probability from which a pixel belongs to the mask.
    cfg.MODEL.MASK.THRESHOLD = 0.5
    # Instances from masks: one per channel, or one per connected component.
    cfg.MODEL.MASK.COMPONENTS = False
    # Region gate (Foundation X+): the network's own boxes on the image damp the mask head's features away from them.
    # WHEN: off, train (in training alone, as published) or always. STRENGTH: share of a feature that the gate can take
    # away, 0..1. SCORE: least score of a box, 0..1. GROWTH: factor of a box's area before it is used. REFERENCE: a
    # reference switch: boxes converted twice, found on pixels normalised for masks, cells at their upper left corners.
    cfg.MODEL.MASK.GATE = CfgNode({"WHEN": "off", "STRENGTH": 0.5, "SCORE": 0.3, "GROWTH": 1.5, "REFERENCE": False})

    # Reference switch: per-class sigmoid cross-entropy where the classes exclude each other (default softmax).
    cfg.MODEL.CLS = CfgNode({"EXCLUSIVE_AS_BINARY": False})

    # ---- the cycle ------------------------------------------------------------------------------------------
    cfg.FX = CfgNode()
    cfg.FX.CYCLE = CfgNode()
    # Units in training order, each dataset/task. A child file's list replaces the parent's.
    cfg.FX.CYCLE.UNITS = []
    # How often the units are walked.
    cfg.FX.CYCLE.COUNT = 100
    # Passes of a unit by task, each a record {train: head|path, fraction|images: x, max_images: n}; see schedule.py.
    cfg.FX.CYCLE.CLS = [{"train": "path", "fraction": 1.0}]
    cfg.FX.CYCLE.BOX = [{"train": "head", "fraction": 0.5}, {"train": "path", "fraction": 1.0}]
    cfg.FX.CYCLE.MASK = [{"train": "head", "fraction": 0.5}, {"train": "path", "fraction": 1.0}]
    # Reference switch: locked modules stay in training mode (batch statistics drift, paths drop), and in a Locked box
    # pass input projection and level embedding keep a gradient that counts when gradients are clipped.
    cfg.FX.REFERENCE_LOCK = False

    # cycle: unit after unit; mixed: the steps of each cycle in an order drawn with SEED (a baseline, for comparisons).
    cfg.FX.CYCLE.ORDER = "cycle"

    # Fine-tuning in place of these passes: one pass over all images a unit that trains full (everything on the unit's
    # path), head (what belongs to the dataset) or backbone (nothing else); "": the passes above.
    cfg.FX.FINETUNE = ""

    # ---- teacher and consistency ----------------------------------------------------------------------------
    cfg.FX.TEACHER = CfgNode()
    # Weight of the old teacher in each average.
    cfg.FX.TEACHER.MOMENTUM = 0.80
    # constant, or cosine: the weight rises from MOMENTUM to 1 over the run.
    cfg.FX.TEACHER.MOMENTUM_SCHEDULE = "constant"
    # pass: average at the end of every pass; iteration: after every step.
    cfg.FX.TEACHER.UPDATE = "pass"
    # Average floating buffers (batch statistics), too; False is what the reference does: they stay at their start.
    cfg.FX.TEACHER.BUFFERS = True
    # loss = (1 - weight) * task + weight * consistency; 0 switches the consistency loss off.
    cfg.FX.CONSISTENCY_WEIGHT = 0.5
    # Weigh the losses of each task by a learned uncertainty s (Kendall et al., CVPR 2018): exp(-s) * loss + s / 2. A
    # baseline, for comparisons.
    cfg.FX.UNCERTAINTY = False

    # ---- optimisation ---------------------------------------------------------------------------------------
    cfg.SOLVER.IMS_PER_BATCH = 24
    cfg.SOLVER.BASE_LR = 1e-4
    # Learning rate of the backbone as a factor of BASE_LR.
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    cfg.SOLVER.WEIGHT_DECAY = 1e-4
    # Reference switch: weight decay on all; class layers and norms at the backbone's rate; in no group, hence never
    # trained: input projection, level and label embedding, selectors, memory projections, proposal heads and, where
    # the boxes have refinement heads, content queries and output heads.
    cfg.SOLVER.REFERENCE_GROUPS = False
    # Warm-up as a share of the run (the schedule's length is known only once the data is read), then cosine.
    cfg.SOLVER.WARMUP_FRACTION = 0.01
    cfg.SOLVER.WARMUP_FACTOR = 0.01
    # Largest global gradient norm by task; 0: no clipping.
    cfg.SOLVER.CLIP_NORM = CfgNode({"CLS": 0.0, "BOX": 0.1, "MASK": 0.0})
    # Automatic mixed precision type: bf16 where the device has it. AMP.ENABLED is Detectron2's switch.
    cfg.SOLVER.AMP.DTYPE = "bfloat16"
    # Micro-batches that a batch is cut into to save memory; the gradient is that of the whole batch, at the price of
    # one more forward pass. Batch normalisation (mask head) sees micro-batches; docs/reliability.md says more.
    cfg.SOLVER.ACCUMULATE = 1
    # auto: on a GPU, in one process and without ACCUMULATE or float16, steps are recorded as CUDA graphs and played
    # again (docs/captured_steps.md); off: every step is launched kernel by kernel. The numbers are the same.
    cfg.FX.CAPTURE = "auto"
    # GPUs: compile the backbone at the first steps, by mode: default; empty: off.
    cfg.FX.COMPILE = ""
    # A loss or gradient that is not finite: stop, or skip the step and count, up to LIMIT steps in a run.
    cfg.FX.NONFINITE = CfgNode({"POLICY": "stop", "LIMIT": 10})
    # GPUs: two runs on one GPU agree to the last bit (docs/reliability.md); slower. Runs on the CPU agree anyway.
    cfg.FX.DETERMINISTIC = False
    # heartbeat.json is written anew when it is older than this many seconds.
    cfg.FX.HEARTBEAT_SECONDS = 10.0
    # An OUTPUT_DIR whose run on another host or in another container gave no sign of life for so many seconds is taken
    # over (15 or more; the new run waits for it); 0: never. On the same host a run that is gone is seen at once.
    cfg.FX.TAKE_OVER_SECONDS = 0.0
    # Write losses every so many iterations.
    cfg.FX.LOG_PERIOD = 20
    # Save every so many cycles; checkpoints kept (0: all). The best and the final one are kept, too.
    cfg.FX.CHECKPOINT_CYCLES = 1
    cfg.FX.CHECKPOINT_KEEP = 2
    cfg.FX.EVAL = CfgNode()
    # Score the validation split every so many cycles; 0: only the test split at the end.
    cfg.FX.EVAL.CYCLES = 1
    # Split scored during training (it chooses the best checkpoint) and split scored at the end ('': none).
    cfg.FX.EVAL.VAL_SPLIT = "val"
    cfg.FX.EVAL.SPLIT = "test"
    cfg.FX.EVAL.BATCH = 24
    # Images drawn per unit into OUTPUT_DIR/overlays after the final evaluation.
    cfg.FX.EVAL.OVERLAYS = 4
    # Final evaluation: write the predictions into OUTPUT_DIR/predictions, to score them again without the model.
    cfg.FX.EVAL.PREDICTIONS = True
    # Bootstrap replicates of the intervals (0: none), drawn over patients with SEED; level of the intervals.
    cfg.FX.EVAL.BOOTSTRAPS = 1000
    cfg.FX.EVAL.CONFIDENCE = 0.95
    # Criterion that chooses the thresholds of findings on VAL_SPLIT: youden or f1.
    cfg.FX.EVAL.OPERATING_POINT = "youden"
    # Intersection over union from which a box is a hit in the FROC analysis.
    cfg.FX.EVAL.FROC_IOU = 0.5
    # Surface distances of masks (95th percentile Hausdorff, average); they take longer than the rest.
    cfg.FX.EVAL.DISTANCES = True
    # Metric (key student|teacher/dataset/task/metric, or a mean: teacher/mean) that chooses model_best.
    cfg.FX.EVAL.BEST = "teacher/mean"

    # ---- what a run leaves for people ---------------------------------------------------------------------------
    # Score all units before and after each unit of every so many cycles: the report's forgetting matrix; 0: never.
    # Costs (units + 1) validations of all units in such a cycle.
    cfg.FX.EVAL.AFTER_UNITS = 0
    # At most this many images of a unit are scored for it, spread evenly over the validation split; 0: all.
    cfg.FX.EVAL.AFTER_UNITS_IMAGES = 0
    # Best, worst and random images shown for each unit in report.html; 0: no pictures.
    cfg.FX.EVAL.REPORT_CASES = 3
    # Weights & Biases beside TensorBoard (pip install 'fx_d2[wandb]'); MODE is online, offline or disabled.
    cfg.FX.WANDB = CfgNode({"ENABLED": False, "PROJECT": "fx_d2", "ENTITY": "", "NAME": "", "MODE": "online"})

    # Every run is reproducible unless asked otherwise; a negative seed is taken as 0 by the loader.
    cfg.SEED = 0
    cfg.OUTPUT_DIR = "./output"


def get_fx_cfg() -> Config:
    """Detectron2's defaults with the keys of fx_d2; see :class:`fx_d2.config.node.Config` for merging."""
    cfg = Config()
    cfg.update(get_cfg())
    add_fx_config(cfg)
    return cfg
