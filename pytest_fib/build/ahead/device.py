"""A CUDA device that is not there: tensors on it have a shape and a dtype, and nothing is ever computed.

They are tensors of torch's own device ``meta``. A call that speaks of ``cuda`` goes to it, and what is on it says
that it is on ``cuda``. Tensors on the CPU stay what they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from pytest_fib.build.ahead.content import META, Content
from pytest_fib.build.ahead.target import Target

_CUDA = torch.device("cuda", 0)
_ADDRESS = 1 << 32  # aligned, as what an allocator returns

_SAID: dict[object, Any] = {
    torch.Tensor.device.__get__: _CUDA,
    torch.Tensor.is_cuda.__get__: True,  # type: ignore[attr-defined]
    torch.Tensor.is_meta.__get__: False,  # type: ignore[attr-defined]
    torch.Tensor.get_device: 0,
    torch.Tensor.is_pinned: False,
    torch.Tensor.record_stream: None,
}


class PretendedDevice(TorchFunctionMode):
    """While it is entered, ``cuda`` is a device without memory; ``content`` is what it shows who looks."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._content = content

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Do what ``func`` does, on no device: https://docs.pytorch.org/docs/stable/torch.overrides.html"""
        if args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            if func in _SAID:
                return _SAID[func]
            if func is torch.Tensor.data_ptr:
                return _ADDRESS + args[0].storage_offset() * args[0].element_size()
        if func is torch.device:  # a name, and no place
            return func(*args, **(kwargs or {}))
        if func is torch.Tensor.cuda:
            func, args, kwargs = torch.Tensor.to, (args[0], META), {}
        args, kwargs = tuple(map(_there, args)), {name: _there(item) for name, item in (kwargs or {}).items()}
        if type(kwargs.get("device")) is int:  # the accelerator of that number
            kwargs["device"] = META
        if kwargs.get("pin_memory"):
            kwargs["pin_memory"] = False
        try:
            return func(*args, **kwargs)
        except RuntimeError as error:
            if not _wants_content(error):
                raise
        return self._content.call(func, args, kwargs)


def _wants_content(error: RuntimeError) -> bool:
    """Whether torch says that it cannot read what is on ``meta``, or that the size of a result depends on it."""
    return isinstance(error, NotImplementedError) or "meta tensor" in str(error).lower()


def _there(value: Any) -> Any:
    if isinstance(value, torch.device):
        return META if value.type == "cuda" else value
    if isinstance(value, str) and value.partition(":")[0] == "cuda":
        return META
    return value


class _Idle:
    """A stream, an event, a graph or a context: takes every call and does nothing."""

    device = _CUDA
    cuda_stream = 0

    def __init__(self, *_args: object, **_named: object) -> None:
        pass

    def __enter__(self) -> _Idle:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_args, **_named: self

    def query(self) -> bool:
        """Whether all work is done."""
        return True

    def elapsed_time(self, _end: object) -> float:
        """Milliseconds."""
        return 1.0


def pretend_device(content: Content, target: Target) -> None:
    """Make this process believe in a device like ``target`` from here on."""
    properties = _properties(target)
    idle = _Idle()
    answers: dict[str, Any] = {
        "is_available": True,
        "device_count": 1,
        "current_device": 0,
        "get_device_capability": (target.major, target.minor),
        "get_device_name": properties.name,
        "get_device_properties": properties,
        "mem_get_info": (properties.total_memory, properties.total_memory),
        "memory_allocated": 0,
        "is_current_stream_capturing": False,
        **dict.fromkeys(("init", "set_device", "set_stream", "synchronize", "empty_cache")),
        **dict.fromkeys(("current_stream", "default_stream", "stream", "graph"), idle),
    }
    for name, answer in answers.items():
        setattr(torch.cuda, name, _always(answer))
    for name in ("Stream", "ExternalStream", "Event", "CUDAGraph", "device", "device_of"):
        setattr(torch.cuda, name, _Idle)
    set_default_device = torch.set_default_device
    torch.set_default_device = lambda device: set_default_device(_there(device))
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # torch.compile makes kernels of its own, for what is there
    PretendedDevice(content).__enter__()  # type: ignore[no-untyped-call]


def _properties(target: Target) -> SimpleNamespace:
    """What torch tells of a device; the sizes are those of an H100 where the compute capability does not say."""
    return SimpleNamespace(
        name=f"pretended device of compute capability {target.shown}",
        major=target.major,
        minor=target.minor,
        total_memory=80 << 30,
        multi_processor_count=132,
        warp_size=32,
        max_threads_per_multi_processor=2048,
        regs_per_multiprocessor=65536,
        L2_cache_size=50 << 20,
        shared_memory_per_block=48 << 10,
        shared_memory_per_block_optin=target.shared_bytes,
        shared_memory_per_multiprocessor=target.shared_bytes + 1024,
    )


def _always(answer: Any) -> Callable[..., Any]:
    return lambda *_args, **_named: answer
