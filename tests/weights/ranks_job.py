"""Two processes that initialize models from URLs; run by test_distributed.py."""

import json
import sys

import torch.distributed as dist
import torch.multiprocessing as mp
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn


class Small(BaseModule):
    def __init__(self, init_cfg):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 2, 3)


def job(rank, cases, folder):
    from plugin.weights import patches

    dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    patches.install()
    BaseModule._dump_init_info = lambda self: None
    MMLogger.get_instance('job', logger_name='job')
    results = []
    for url, prefix in json.loads(cases):
        module = Small(dict(type='Pretrained', checkpoint=url, prefix=prefix))
        error = None
        try:
            module.init_weights()
        except (ValueError, OSError) as raised:
            error = f'{type(raised).__name__}: {raised}'
        results.append([error, module.conv.weight.flatten().tolist()])
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(results, file)
    dist.destroy_process_group()


if __name__ == '__main__':
    mp.start_processes(job, tuple(sys.argv[1:]), nprocs=2, start_method='fork')
