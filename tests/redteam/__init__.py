"""Our own attacks on the judge, and honest kernels that must not be taken for one."""
