"""Four threads enter and leave accelerate_torchvision(), nested in any order, and one never does; all check results."""

import faulthandler
import random
import sys
import threading
import time

import torch
import torchvision

from roibench import ops

faulthandler.enable()
sys.setswitchinterval(1e-5)
torch.set_num_threads(1)
SECONDS = float(sys.argv[1])

features = torch.randn(2, 9, 8, 10, generator=torch.Generator().manual_seed(0))
rois = torch.tensor([[0.0, 10, 8, 50, 40], [1, -20, 4, 30, 60]])
boxes = torch.rand(50, 4, generator=torch.Generator().manual_seed(1)).cumsum(1) * 50
scores = torch.rand(50, generator=torch.Generator().manual_seed(2))


def pool(name, arguments):
    x = features.clone().requires_grad_()
    out = getattr(torchvision.ops, name)(x, rois, *arguments)
    out.cos().sum().backward()
    return out.detach(), x.grad


CALLS = [
    lambda: (torchvision.ops.nms(boxes, scores, 0.4),),
    lambda: pool("roi_align", (2, 1 / 8, 2, True)),
    lambda: pool("roi_pool", ((2, 3), 1 / 8)),
    lambda: pool("ps_roi_pool", (3, 1 / 8)),
]
theirs = [call() for call in CALLS[:3]] + [(CALLS[3]()[0],)]  # torchvision's gradients of ps_roi_pool are wrong
failures, rounds, until = [], [0], time.monotonic() + SECONDS


def is_ours():
    try:
        torchvision.ops.nms(torch.zeros(1, 5), torch.zeros(1), 0.5)
    except (RuntimeError, ValueError) as error:
        return str(error).startswith("nms: ")


def check():
    number = random.randrange(len(CALLS))
    for found, expected in zip(CALLS[number](), theirs[number], strict=False):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def work(enters):
    held = []
    try:
        while time.monotonic() < until:
            for _ in range(random.randrange(6) if enters else 0):
                if held and random.random() < 0.5:
                    held.pop(random.randrange(len(held))).__exit__(None, None, None)
                else:
                    held.append(ops.accelerate_torchvision())
            check()
            assert not held or is_ours(), "a block is open, but torchvision's kernels are in use"
            rounds[0] += 1
    except BaseException as error:
        failures.append(repr(error))
        raise
    finally:
        for each in held:
            each.__exit__(None, None, None)


threads = [threading.Thread(target=work, args=(n < 4,)) for n in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
assert not is_ours(), "all blocks were left, but torchvision's kernels are not back"
for call, expected in zip(CALLS, theirs, strict=True):
    same = [torch.equal(a, b) for a, b in zip(call(), expected, strict=False)]
    assert all(same), "torchvision's results differ afterwards"
print(rounds[0])
