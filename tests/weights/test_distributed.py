"""The audit and downloads in two processes, as a distributed training has them."""

import io
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

WEIGHTS = {
    'backbone.conv.weight': torch.ones(2, 1, 3, 3),
    'backbone.conv.bias': torch.ones(2),
}


@pytest.mark.slow
def test_one_rank_downloads_one_reports_and_both_stop_at_an_error(
    tmp_path, server, repo_root, warm_python
):
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    server.files |= {'net.pth': buffer.getvalue(), 'half.pth': buffer.getvalue()}
    server.cut.add('half.pth')
    cases = [
        (server.url('net.pth'), 'backbone.'),
        (server.url('net.pth'), 'wrong.'),
        (server.url('half.pth'), 'backbone.'),
    ]
    job = Path(__file__).with_name('ranks_job.py')
    done = subprocess.run(
        [warm_python, str(job), json.dumps(cases), str(tmp_path)],
        env={**os.environ, 'PYTHONPATH': str(repo_root)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    for rank in 0, 1:
        good, wrong, half = json.loads((tmp_path / f'{rank}.json').read_text())
        assert good == [None, [1.0] * 18]
        assert wrong[0].startswith('PretrainedError: Small: ')
        assert "prefix='backbone.' would give 100.0 %" in wrong[0]
        assert half[0].startswith('DownloadError: ') and 'ended after' in half[0]
    assert done.stdout.count('parameters are from') == 1
    assert server.asked.count('net.pth') == 1
    assert server.kept() == ['net.pth']
