"""A stage's script with its parameters sharded by FSDP 2 on CPUs: `fsdp_run.py STAGE ARGUMENTS`.

Accelerate shards on accelerators only: on CPUs it takes DDP, whatever is asked for. Here its state says otherwise, and
everything that follows is what runs on GPUs: Accelerate's, the Trainer's and ours, with torch's `fully_shard` on gloo.

Not a test: tests/test_sharding.py starts it in processes of its own.
"""

import os
import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).parents[2]))

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from finecl_hf.training.arguments import run_script
from tests.helpers.script_runs import MAIN


prepare_state = AcceleratorState.__init__


def shard(state, *args, fsdp_plugin=None, **kwargs):
    prepare_state(state, *args, fsdp_plugin=fsdp_plugin, **kwargs)
    if isinstance(fsdp_plugin, FullyShardedDataParallelPlugin):
        state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        if state._mixed_precision != "no":
            fsdp_plugin.set_mixed_precision(state._mixed_precision)
        state.fsdp_plugin = fsdp_plugin


if __name__ == "__main__":
    AcceleratorState.__init__ = shard
    os.environ.setdefault("ACCELERATE_USE_FSDP", "true")
    run_script(lambda: MAIN[sys.argv[1]](sys.argv[2:]))
