"""From a workload to tensors: drawn from a secret, loaded from captured files, or made by the definition.

``plan_inputs`` checks everything that can be checked without drawing; the ``InputPlan`` that it returns draws
the inputs of any call, in any order. Nothing here reads or changes a global random generator.
"""

from pytest_fib.inputs.captured import CapturedFiles
from pytest_fib.inputs.plan import InputPlan, plan_inputs
from pytest_fib.inputs.pool import Pool
from pytest_fib.inputs.sources import TensorLayout

__all__ = ["CapturedFiles", "InputPlan", "Pool", "TensorLayout", "plan_inputs"]
