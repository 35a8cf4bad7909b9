"""Inside a worker: the audit hook that refuses what a package's policy does not allow. Standard library only.

A guard-rail, not a sandbox: code that sets out to get around it can (see docs/explanation/isolation.md). What must
hold against such code is enforced by the operating system on the process lane.
"""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import _interpreters
import os
import sys
from _thread import get_ident
from os.path import basename, dirname, realpath

from laneway._core.failures import PolicyViolation
from laneway._core.untyped import Any, Callable, Iterable

__all__ = ["Guard", "kept_environment"]

type Allowed = bool | tuple[str, ...]
type Check = Callable[[tuple[Any, ...]], None]

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ALWAYS_READ = (
    "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/usr/share/zoneinfo", "/etc/localtime", "/etc/timezone",
    "/usr/lib/locale", "/usr/share/locale", "/etc/mime.types",
)  # fmt: skip
_PLAIN_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "USER", "LOGNAME", "SHELL", "TERM",
    "LD_LIBRARY_PATH",
)  # fmt: skip
_NATIVE = frozenset(
    {
        "ctypes",
        "_ctypes",
        "_testcapi",
        "_testinternalcapi",
        "_testlimitedcapi",
        "_testsinglephase",
        "_ctypes_test",
    }
)
_MEMORY_EVENTS = (
    "ctypes.cdata", "ctypes.cdata/buffer", "ctypes.string_at", "ctypes.wstring_at", "ctypes.memoryview_at",
    "ctypes.PyObj_FromPtr",
)  # fmt: skip
_NOTHING = "never"
_MOST_REFUSALS = 50
_MOST_GRANTS = 100


def kept_environment(policy: dict[str, Any], environment: dict[str, str]) -> dict[str, str]:
    """What of the program's environment a package may see: what it names, and what no program does without."""
    wish = policy.get("environment", False)
    if wish is True:
        return dict(environment)
    names = {*_PLAIN_ENVIRONMENT, *(wish or ())}
    return {key: value for key, value in environment.items() if key in names or key.startswith("LC_")}


class Guard:
    """One worker's audit hook.

    Args:
        policy: the package's policy with flat keys such as `filesystem.read`; what is missing is refused.
        roots: folders the package may always read: its own, the standard library's, Laneway's.
        children: child processes it may have at one time, or None for any number.
        alone: True in a process of its own, where changing the working directory disturbs nobody.
    """

    def __init__(
        self, policy: dict[str, Any], roots: Iterable[str], *, children: int | None, alone: bool
    ) -> None:
        self._policy = policy
        self._read = self._folders("filesystem.read", (*roots, *_ALWAYS_READ))
        self._write = self._folders("filesystem.write", ("/dev/null",))
        self._granted: tuple[str, ...] = ()
        self._children = children
        self._alone = alone
        self._resolved: dict[str, frozenset[str]] = {}
        self.refusals: list[str] = []
        """What was refused since they were last taken."""
        self.trusted: set[int] = set()
        """Idents of threads that run none of the package's code."""
        self.lifted = False
        """True while Laneway itself works on the worker's thread."""

    def install(self) -> None:
        """Put the hook in place, for good."""
        for name in _NATIVE:
            sys.modules.pop(name, None)
        # asyncio imports it, so it must be there; without `create` it is harmless. Importing it anew is refused.
        module: Any = _interpreters
        module.create = self._no_interpreters
        sys.dont_write_bytecode = True
        checks = self._checks()
        trusted = self.trusted

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            check = checks.get(event)
            if check is not None and not self.lifted and get_ident() not in trusted:
                check(arguments)

        sys.addaudithook(hook)

    def grant(self, file: str) -> None:
        """Let the package read that file from now on; of many, the latest."""
        if self._read is not None:
            self._granted = (realpath(file), *self._granted[:_MOST_GRANTS])

    def take(self) -> list[str]:
        """What was refused since the last time."""
        refusals, self.refusals = self.refusals, []
        return refusals

    def _folders(self, key: str, always: Iterable[str]) -> tuple[str, ...] | None:
        wish: Allowed = self._policy.get(key, False)
        if wish is True:
            return None
        folders = {realpath(one) for one in (*always, *(wish or ())) if one}
        return None if "/" in folders else tuple(folders)

    def _refuse(self, key: str, what: str) -> None:
        text = f"{key}: {what}"
        if len(self.refusals) < _MOST_REFUSALS:
            self.refusals.append(text[:200])
        advice = (
            "Nothing allows it"
            if key == _NOTHING
            else f"Allow it with `{key}` under [policy] in laneway.toml"
        )
        raise PolicyViolation(f"the package's policy does not allow this: {what}. {advice}")

    def _no_interpreters(self, *_: object, **__: object) -> None:
        self._refuse(_NOTHING, "making an interpreter")

    def _flag(self, key: str, what: str) -> Check:
        allowed = self._policy.get(key, False) is True

        def check(arguments: tuple[Any, ...]) -> None:
            if not allowed:
                shown = next((str(one) for one in arguments if isinstance(one, str)), "")
                self._refuse(key, f"{what} {shown}".strip())

        return check

    def _never(self, what: str) -> Check:
        def check(arguments: tuple[Any, ...]) -> None:
            self._refuse(_NOTHING, what)

        return check

    def _checks(self) -> dict[str, Check]:
        reading = {"os.listdir": 0, "os.scandir": 0, "os.getxattr": 0, "os.listxattr": 0, "glob.glob": 0}
        writing: dict[str, tuple[int, ...]] = {
            "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.rename": (0, 1), "os.link": (0, 1),
            "os.symlink": (1,), "os.chmod": (0,), "os.chown": (0,), "os.chflags": (0,), "os.lchmod": (0,),
            "os.truncate": (0,), "os.utime": (0,), "os.setxattr": (0,), "os.removexattr": (0,),
        }  # fmt: skip
        checks: dict[str, Check] = {
            "open": self._open,
            "import": self._import,
            "sqlite3.connect": self._sqlite,
        }
        if self._read is not None:
            checks |= {event: self._paths("filesystem.read", event, (at,)) for event, at in reading.items()}
        if self._write is not None:
            checks |= {event: self._paths("filesystem.write", event, at) for event, at in writing.items()}
        if self._policy.get("network", False) is not True:
            checks |= {
                "socket.__new__": self._socket, "socket.connect": self._connect, "socket.sendto": self._connect,
                "socket.sendmsg": self._connect, "socket.bind": self._flag("network", "listening on a socket"),
                "socket.getaddrinfo": self._lookup, "socket.gethostbyname": self._lookup,
                "socket.gethostbyaddr": self._lookup, "socket.getnameinfo": self._flag("network", "asking for a name"),
                "syslog.openlog": self._flag("network", "writing to syslog"),
                "syslog.syslog": self._flag("network", "writing to syslog"),
            }  # fmt: skip
        starts, threads = self._start, self._flag("threads", "starting a thread")
        calls, memory = self._flag("native", "calling C"), self._flag("native", "C memory")
        library, extension = (
            self._flag("native", "loading a library"),
            self._flag("native", "an SQLite extension"),
        )
        limits, others = self._never("changing limits"), self._never("looking for objects of others")
        checks |= dict.fromkeys(("subprocess.Popen", "os.posix_spawn", "os.exec"), starts)
        checks |= {
            event: self._flag("subprocess", event)
            for event in ("os.system", "os.fork", "os.forkpty", "pty.spawn")
        }
        checks |= dict.fromkeys(("_thread.start_new_thread", "_thread.start_joinable_thread"), threads)
        checks |= dict.fromkeys(("ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.call_function"), calls)
        checks |= dict.fromkeys(_MEMORY_EVENTS, memory)
        checks |= dict.fromkeys(("sqlite3.enable_load_extension", "sqlite3.load_extension"), extension)
        checks |= dict.fromkeys(("os.killpg", "signal.pthread_kill"), self._never("sending a signal"))
        checks |= dict.fromkeys(("resource.setrlimit", "resource.prlimit"), limits)
        checks |= dict.fromkeys(("gc.get_objects", "gc.get_referrers"), others)
        checks |= {
            "_posixsubprocess.fork_exec": self._fork_exec,
            "ctypes.dlopen": library,
            "cpython.PyInterpreterState_New": self._never("making an interpreter"),
            "os.kill": self._kill,
            "object.__setattr__": self._set_attribute,
        }
        if not self._alone:
            checks["os.chdir"] = checks["os.fchdir"] = self._never(
                "changing the directory of a shared process"
            )
        return checks

    # Files ---------------------------------------------------------------------------------------------------

    def _paths(self, key: str, event: str, places: tuple[int, ...]) -> Check:
        folders = self._read if key == "filesystem.read" else self._write
        what = event.replace("os.", "").replace("glob.", "")

        def check(arguments: tuple[Any, ...]) -> None:
            for at in places:
                path = "." if arguments[at] is None else arguments[at]
                if not isinstance(path, int) and not self._within(path, folders):
                    self._refuse(key, f"{what} {_shown(path)}")

        return check

    def _open(self, arguments: tuple[Any, ...]) -> None:
        path, mode, flags = arguments
        if isinstance(path, int) or path is None or path == "<unknown>" or path == "<string>":
            return  # open already; or no file at all: formatting a traceback asks for such names
        writes = (
            bool(flags & _WRITING) if isinstance(flags, int) else isinstance(mode, str) and mode[:1] != "r"
        )
        if isinstance(mode, str) and ("+" in mode or mode[:1] in ("w", "a", "x")):
            writes = True
        if writes:
            if not self._within(path, self._write):
                self._refuse("filesystem.write", f"writing {_shown(path)}")
        elif not any(self._within(path, one) for one in (self._read, self._granted, self._write or ())):
            self._refuse("filesystem.read", f"reading {_shown(path)}")

    def _sqlite(self, arguments: tuple[Any, ...]) -> None:
        path = arguments[0]
        if path in (":memory:", "", b":memory:"):
            return
        if isinstance(path, str) and path.startswith("file:"):
            path = path[5:].partition("?")[0]
        if not self._within(path, self._write):
            self._refuse("filesystem.write", f"the database {_shown(path)}")

    @staticmethod
    def _within(path: Any, folders: tuple[str, ...] | None) -> bool:
        if folders is None:
            return True
        try:
            text = os.fsdecode(path)
            found = realpath(text)
        except TypeError, ValueError, OSError:
            return False
        return any(found == folder or found.startswith(folder + "/") for folder in folders)

    # Code ----------------------------------------------------------------------------------------------------

    def _import(self, arguments: tuple[Any, ...]) -> None:
        name, file = arguments[0], arguments[1]
        if name == "_interpreters":
            self._refuse(_NOTHING, "making an interpreter")
        wish: Allowed = self._policy.get("native", False)
        if wish is True:
            return
        if name in _NATIVE:
            if not _named(name, wish) and not _named(name.lstrip("_"), wish):
                self._refuse("native", f"importing {name}")
        elif (
            isinstance(file, str)
            and not file.startswith(_OWN_EXTENSIONS)
            and not _named(name, wish)
            and not _named(name.partition(".")[0], wish)
        ):
            self._refuse("native", f"importing the extension module {name}")

    def _set_attribute(self, arguments: tuple[Any, ...]) -> None:
        target, name = arguments[0], arguments[1]
        if name == "__code__" and str(getattr(target, "__module__", "")).startswith("laneway."):
            self._refuse(_NOTHING, "changing Laneway's code")

    # Processes -----------------------------------------------------------------------------------------------

    def _start(self, arguments: tuple[Any, ...]) -> None:
        program = arguments[0]
        if not program and len(arguments) > 1 and arguments[1]:
            program = arguments[1] if isinstance(arguments[1], str) else arguments[1][0]
        self._program(program)

    def _fork_exec(self, arguments: tuple[Any, ...]) -> None:
        candidates = arguments[0]
        self._program(candidates[0] if candidates else "?")

    def _program(self, program: Any) -> None:
        wish: Allowed = self._policy.get("subprocess", False)
        try:
            name = os.fsdecode(program)
        except TypeError, ValueError:
            name = "?"
        if wish is not True and name not in (wish or ()) and (basename(name) not in (wish or ())):
            self._refuse("subprocess", f"starting {name}")
        if self._children is not None and len(self._own_work(_children)) >= self._children:
            self._refuse(
                "limits.child_processes", f"starting {name}: {self._children} child processes are allowed"
            )

    def _kill(self, arguments: tuple[Any, ...]) -> None:
        if arguments[0] not in self._own_work(_children):
            self._refuse(_NOTHING, f"sending a signal to process {arguments[0]}, which is not its child")

    def _own_work[T](self, question: Callable[[], T]) -> T:
        lifted, self.lifted = self.lifted, True
        try:
            return question()
        finally:
            self.lifted = lifted

    # Network -------------------------------------------------------------------------------------------------

    def _socket(self, arguments: tuple[Any, ...]) -> None:
        family = arguments[1]
        if family in (-1, 1):  # a descriptor that is open already, AF_UNIX: event loops make pairs of these
            return
        if not self._policy.get("network", False) or family not in (2, 10):
            self._refuse("network", "making a socket")

    def _lookup(self, arguments: tuple[Any, ...]) -> None:
        host = arguments[0]
        text = host.decode("utf-8", "replace") if isinstance(host, bytes) else str(host)
        if not self._host(text, None):
            self._refuse("network", f"looking {text} up")

    def _connect(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1]
        if address is None:
            return
        if isinstance(address, tuple) and len(address) >= 2 and self._host(str(address[0]), address[1]):
            return
        self._refuse("network", f"talking to {_shown(address)}")

    def _host(self, host: str, port: Any) -> bool:
        wish: Allowed = self._policy.get("network", False)
        if isinstance(wish, bool):
            return wish
        for one in wish:
            name, _, wanted = one.rpartition(":") if one.count(":") == 1 else (one, "", "")
            if port is not None and wanted and wanted != str(port):
                continue
            if host == name or (port is not None and host in self._addresses(name)):
                return True
        return False

    def _addresses(self, name: str) -> frozenset[str]:
        known = self._resolved.get(name)
        if known is None:
            import _socket  # noqa: PLC0415 - most packages have no network

            try:
                found = self._own_work(lambda: _socket.getaddrinfo(name, None))
                known = frozenset(str(one[4][0]) for one in found)
            except OSError:
                known = frozenset()
            self._resolved[name] = known
        return known


_OWN_EXTENSIONS = (dirname(os.__file__) + "/lib-dynload/",)


def _named(name: str, wish: Allowed) -> bool:
    return not isinstance(wish, bool) and name in wish


def _shown(value: Any) -> str:
    try:
        return os.fsdecode(value)
    except TypeError, ValueError:
        return repr(value)[:100]


def _children() -> set[int]:
    children: set[int] = set()
    folder = "/proc/self/task"
    try:
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/children") as file:
                children.update(map(int, file.read().split()))
    except OSError:
        return children
    return children
