"""Files, memory, processes and networks that are not the candidate's (families 27, 35, 37)."""

from __future__ import annotations

from redteam.cases import Attack

ATTACKS = (
    Attack(
        family=27,
        name="memory_of_the_judge",
        honest_path=True,
        needs="sandbox",
        source="""
            import ctypes, os, torch
            libc = ctypes.CDLL(None, use_errno=True)
            for pid in (@JUDGE@, os.getppid()):
                for name in ("mem", "environ", "maps", "fd"):
                    try:
                        if name == "fd":
                            os.listdir(f"/proc/{pid}/fd")
                        else:
                            open(f"/proc/{pid}/{name}", "rb").read(0 if name == "mem" else 1)
                        if pid > 1:
                            print("@LEAK@", name, "of process", pid)
                    except OSError:
                        pass
            if libc.ptrace(0x4206, @JUDGE@, None, None) == 0:  # PTRACE_SEIZE does not stop it
                print("@LEAK@ ptrace of the judge")
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=27,
        name="environment_of_the_run",
        honest_path=True,
        source="""
            import os, torch
            if any(name.startswith(("PYTEST", "FIB_", "SSH_", "GITHUB_", "XDG_")) for name in os.environ):
                print("@LEAK@ the environment of the run")
            if b"PYTEST_" in open("/proc/self/environ", "rb").read():
                print("@LEAK@ the environment of the run, in /proc")
            if b"@SECRET_FILE@" in open("/proc/self/cmdline", "rb").read():
                print("@LEAK@ the command line of the run")
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=27,
        name="inherited_descriptors",
        honest_path=True,
        source="""
            import os, torch
            for fd in range(3, 256):
                try:
                    name = os.readlink(f"/proc/self/fd/{fd}")
                except OSError:
                    continue
                if not name.startswith(("socket:", "anon_inode:", "/memfd:fib-", "/proc/")):
                    print("@LEAK@ descriptor", fd, name)
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=27,
        name="reads_files_of_the_user",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, torch
            try:
                open("@SECRET_FILE@").read()
                print("@LEAK@ the secret file")
            except OSError:
                pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=35,
        name="writes_files_of_the_user",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, torch
            for action in (
                lambda: open("@FOLDER@/planted.txt", "w").write("planted"),
                lambda: open("@SECRET_FILE@", "a").write("changed"),
                lambda: os.symlink("/etc/passwd", "@FOLDER@/link"),
            ):
                try:
                    action()
                except OSError:
                    pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=35,
        name="calls_home",
        honest_path=True,
        needs="sandbox",
        source="""
            import socket, torch
            try:
                socket.create_connection(("127.0.0.1", @PORT@), 1).send(b"hello")
                print("@LEAK@ a connection")
            except OSError:
                pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=35,
        name="listens_on_an_abstract_socket",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, socket, torch
            meeting = socket.socket(socket.AF_UNIX)
            meeting.settimeout(0.2)
            try:
                meeting.connect("\\0@MARKER@")
                print("@LEAK@ a process of another candidate listens")
            except OSError:
                pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
    Attack(
        family=37,
        name="kills_a_process_of_the_user",
        honest_path=True,
        needs="sandbox",
        source="""
            import os, signal, torch
            try:
                os.kill(@PID@, signal.SIGKILL)
            except OSError:
                pass
            def run(x, w, b, y):
                @HONEST@
            """,
    ),
)
