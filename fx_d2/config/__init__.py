"""The configuration: its keys (:mod:`.defaults`), safe merging (:mod:`.node`), checks (:mod:`.check`)."""

from .check import check_config
from .cycle import FINETUNE, check_gate, cycle_passes, cycle_units, split_name, unit_metadata, unit_of_split
from .defaults import add_fx_config, get_fx_cfg
from .packaged import find_config_file, get_config_file

__all__ = [
    "FINETUNE",
    "add_fx_config",
    "check_config",
    "check_gate",
    "cycle_passes",
    "cycle_units",
    "find_config_file",
    "get_config_file",
    "get_fx_cfg",
    "split_name",
    "unit_metadata",
    "unit_of_split",
]
