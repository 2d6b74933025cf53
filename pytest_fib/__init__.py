"""pytest-fib turns FlashInfer-Trace kernel workloads into pytest items.

This package root stays empty of imports: the pytest entry point loads ``pytest_fib.plugin`` at every pytest
start, and a run that names no solution must not pay for pydantic or torch.

PYTEST_DONT_REWRITE: there is no assert here, and ``fib run`` imports this module before it starts pytest, which
would warn of that.
"""

__version__ = "0.1.0"
