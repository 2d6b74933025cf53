"""Output, files, environment, signals, collectors: things that are nobody's business."""

from __future__ import annotations

from redteam.cases import Honest

HONEST = (
    Honest(
        name="chatty",
        source="""
            import logging, sys, torch
            logging.basicConfig(level=logging.DEBUG)
            def run(x, w, b, y):
                print("x" * 2000)
                logging.debug("called with %s", x.shape)
                sys.stderr.write("still here\\n")
                @HONEST@
            """,
    ),
    Honest(
        name="lines_that_look_like_verdicts",
        source="""
            import torch
            def run(x, w, b, y):
                print('{"status": "INCORRECT_NUMERICAL", "latency_ms": 1e9}')
                print("FAILED\\nintegrity: nothing\\n\\x1b[31mERROR\\x1b[0m", flush=True)
                @HONEST@
            """,
    ),
    Honest(
        name="closes_its_output",
        source="""
            import os, torch
            os.close(1)
            os.close(2)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Honest(
        name="temporary_files",
        source="""
            import tempfile, torch
            def run(x, w, b, y):
                with tempfile.TemporaryFile() as file:
                    file.write(b"notes")
                    file.seek(0)
                    assert file.read() == b"notes"
                @HONEST@
            """,
    ),
    Honest(
        name="files_beside_its_sources",
        source="""
            import pathlib, torch
            notes = pathlib.Path(__file__).with_name("notes.txt")
            def run(x, w, b, y):
                notes.write_text("called")
                @HONEST@
            """,
    ),
    Honest(
        name="collects_garbage",
        source="""
            import gc, torch
            seen = set()
            def run(x, w, b, y):
                if id(y) not in seen:
                    seen.add(id(y))
                    gc.collect()
                @HONEST@
            """,
    ),
    Honest(
        name="writes_environment_variables",
        source="""
            import os, torch
            os.environ["KMP_BLOCKTIME"] = "0"
            os.environ["HOME"] = "/tmp"
            def run(x, w, b, y):
                os.environ["CALLS"] = "1"
                @HONEST@
            """,
    ),
    Honest(
        name="warns",
        source="""
            import warnings, torch
            warnings.simplefilter("always")
            def run(x, w, b, y):
                warnings.warn("this kernel is experimental", stacklevel=1)
                @HONEST@
            """,
    ),
    Honest(
        name="handles_signals",
        source="""
            import faulthandler, signal, torch
            signal.signal(signal.SIGTERM, lambda *_: None)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            faulthandler.enable()
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Honest(
        name="seeds_and_draws",
        source="""
            import random, numpy, torch
            def run(x, w, b, y):
                torch.manual_seed(0)
                random.seed(0)
                numpy.random.seed(0)
                torch.rand(4)
                @HONEST@
            """,
    ),
    Honest(
        name="checks_its_arguments",
        source="""
            import torch
            def run(x, w, b, y):
                assert x.dtype == w.dtype == torch.float32 and x.device.type == "cpu"
                assert x.is_contiguous() and y.is_contiguous() and not x.requires_grad
                assert x.ndim == 2 and y.shape == x.shape and x.data_ptr() % 64 == 0
                @HONEST@
            """,
    ),
)
