"""The commands of ``fib``: a module (or package) here is a command of that name, unless it begins with ``_``.

It has ``add_parser(subparsers)``, which adds the command's parser, and ``run(namespace)``, which returns the exit
status. All are imported whichever is run: what a command needs it imports when it runs.
"""
