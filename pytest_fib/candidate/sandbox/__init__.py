"""The walls around a candidate: namespaces, a root of its own, Landlock, seccomp, no capabilities.

Every layer is tried on its own and its outcome recorded; one that the kernel refuses leaves the others standing.
``launch`` puts them on in order; the steps are here for whoever forks by himself::

    report = enter_namespaces(policy)        # forked from the zygote, one thread; then fork
    report = enter_inside(policy, report)    # process 1 of the PID namespace; then fork
    report = lock_down(policy, report)       # the candidate, before anything untrusted
"""

from pytest_fib.candidate.sandbox.entry import enter_inside, lock_down, scratch_of
from pytest_fib.candidate.sandbox.launch import launch
from pytest_fib.candidate.sandbox.namespaces import enter_namespaces
from pytest_fib.candidate.sandbox.policy import Policy, default_readable, nvidia_devices
from pytest_fib.candidate.sandbox.probe import Trial, probe
from pytest_fib.candidate.sandbox.report import Layer, Report

__all__ = [
    "Layer",
    "Policy",
    "Report",
    "Trial",
    "default_readable",
    "enter_inside",
    "enter_namespaces",
    "launch",
    "lock_down",
    "nvidia_devices",
    "probe",
    "scratch_of",
]
