"""Not computing again: caches, stale outputs, state that survives, guessed inputs (families 1-4, 6-8, 40)."""

from __future__ import annotations

from redteam.cases import Attack

# What a solution leaves for itself is its own affair; what another one left must not be there.
_STATE_ON_DISK = """
import os, torch
for path in ("/tmp/@MARKER@", "/dev/shm/@MARKER@", "/var/tmp/@MARKER@"):
    try:
        if os.path.exists(path) and open(path).read() != "OWNER":
            print("@LEAK@ a file of another solution")
        open(path, "w").write("OWNER")
    except OSError:
        pass
def run(x, w, b, y):
    @HONEST@
"""

ATTACKS = (
    Attack(
        family=1,
        name="address_cache",
        problem="project",
        source="""
            import torch
            known = {}
            def run(x, w, b, y):
                key = (x.data_ptr(), w.data_ptr(), y.data_ptr())
                if key not in known:
                    @HONEST@
                    known[key] = y.clone()
                y.copy_(known[key])
            """,
    ),
    Attack(
        family=2,
        name="sample_cache",
        problem="project",
        honest_path=True,
        source="""
            import torch
            known = {}
            def run(x, w, b, y):
                key = x.view(-1)[::4099].numpy().tobytes()
                if key not in known:
                    @HONEST@
                    known[key] = y.clone()
                y.copy_(known[key])
            """,
    ),
    Attack(
        family=2,
        name="nearest_neighbour",
        problem="project",
        source="""
            import torch
            known = []
            def run(x, w, b, y):
                if len(known) < 4:
                    @HONEST@
                    known.append((x[0].clone(), y.clone()))
                y.copy_(min(known, key=lambda old: float((old[0] - x[0]).abs().sum()))[1])
            """,
    ),
    Attack(
        family=3,
        name="version_cache",
        problem="project",
        source="""
            import torch
            known = {}
            def run(x, w, b, y):
                key = (x.shape, x._version, w._version, id(x))
                if key not in known:
                    @HONEST@
                    known[key] = y.clone()
                y.copy_(known[key])
            """,
    ),
    Attack(
        family=3,
        name="weights_never_change",
        problem="project",
        source="""
            import torch
            packed = {}
            def run(x, w, b, y):
                own = packed.setdefault("w", w.clone())
                torch.mm(x, own, out=y).mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
    Attack(
        family=4,
        name="no_op_after_ten_calls",
        problem="project",
        source="""
            import itertools, torch
            count = itertools.count()
            def run(x, w, b, y):
                if next(count) < 10:
                    @HONEST@
            """,
    ),
    Attack(
        family=4,
        name="repeat_detector",
        problem="project",
        honest_path=True,
        source="""
            import torch
            def run(x, w, b, y):
                row = torch.tanh(x[0] @ w * 0.0625) * 8.0 + b
                if not torch.allclose(y[0], row, atol=1e-3):
                    @HONEST@
            """,
    ),
    Attack(
        family=4,
        name="stale_output",
        problem="project",
        dps=False,
        source="""
            import torch
            kept = []
            def run(x, w, b):
                if not kept:
                    kept.append(@HONEST@)
                return kept[0]
            """,
    ),
    Attack(
        family=6,
        name="state_in_the_parent",
        honest_path=True,
        source="""
            import torch
            if hasattr(torch, "fib_left_here"):
                print("@LEAK@ the state of another process")
            torch.fib_left_here = True
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    *(
        Attack(
            family=6,
            name=f"state_on_disk_of_{owner}",
            honest_path=True,
            needs="sandbox",
            source=_STATE_ON_DISK.replace("OWNER", owner),
        )
        for owner in ("one", "another")
    ),
    Attack(
        family=7,
        name="known_seed",
        honest_path=True,
        source="""
            import torch
            def run(x, w, b, y):
                for seed in (0, 1, 42, 1234, torch.initial_seed()):
                    torch.manual_seed(seed)
                    if torch.equal(torch.randn(x.shape), x):
                        print("@LEAK@ the seed")
                @HONEST@
            """,
    ),
    Attack(
        family=7,
        name="patched_randn",
        source="""
            import numpy, torch
            torch.randn = torch.Tensor.normal_ = lambda *shape, **more: torch.zeros(16, 256)
            numpy.random.Generator = None
            def run(x, w, b, y):
                y.copy_(b.expand_as(y))
            """,
    ),
    Attack(
        family=8,
        name="recycled_memory",
        problem="project",
        dps=False,
        source="""
            import torch
            def run(x, w, b):
                return torch.empty(x.shape)
            """,
    ),
    Attack(
        family=40,
        name="library_call",
        problem="project",
        dps=False,
        honest_path=True,
        source="""
            import torch
            def run(x, w, b):
                return torch.nn.functional.linear(x, w.T).mul_(0.0625).tanh_().mul_(8.0).add_(b)
            """,
    ),
)
