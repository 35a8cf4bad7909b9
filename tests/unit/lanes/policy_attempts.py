"""Ways to get around a package's policy, each a task that says what it got. Written into a package by the tests."""

SOURCE = """
import os, sys
from laneway import task

OUTSIDE = "@OUTSIDE@"
ENGINE = @ENGINE@

def read_with_open():
    return open(OUTSIDE + "/secret.txt").read()

def read_with_os_open():
    return os.read(os.open(OUTSIDE + "/secret.txt", os.O_RDONLY), 100).decode()

def read_with_pathlib():
    from pathlib import Path
    return Path(OUTSIDE, "secret.txt").read_text()

def read_with_io_fileio():
    import io
    return io.FileIO(OUTSIDE + "/secret.txt").read().decode()

def read_with_linecache():
    import linecache
    return linecache.getline(OUTSIDE + "/secret.txt", 1) or refuse("nothing")

def read_with_mmap():
    import mmap
    with open(OUTSIDE + "/secret.txt", "rb") as file:
        return bytes(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).decode()

def read_through_a_symbolic_link():
    here = os.path.dirname(os.path.dirname(__file__))
    return open(here + "/link.txt").read()

def read_with_parent_folders():
    return open(os.path.dirname(__file__) + "/../../outside/secret.txt").read()

def read_with_a_directory_descriptor():
    folder = os.open(OUTSIDE, os.O_RDONLY)
    return os.read(os.open("secret.txt", os.O_RDONLY, dir_fd=folder), 100).decode()

def read_as_a_module():
    sys.path.append(OUTSIDE)
    import secret_module
    return secret_module.VALUE

def read_as_a_zip_file():
    import zipfile
    return zipfile.ZipFile(OUTSIDE + "/secret.zip").read("secret.txt").decode()

def read_with_sqlite():
    import sqlite3
    return sqlite3.connect(OUTSIDE + "/secret.db").execute("select * from secret").fetchone()[0]

def read_with_sqlite_attach():
    import sqlite3
    link = sqlite3.connect(":memory:")
    link.execute("attach ? as other", (OUTSIDE + "/secret.db",))
    return link.execute("select * from other.secret").fetchone()[0]

def list_a_folder():
    return str(os.listdir(OUTSIDE))

def list_with_scandir():
    return str([one.name for one in os.scandir(OUTSIDE)])

def stat_a_file():
    return str(os.stat(OUTSIDE + "/secret.txt").st_size)

def read_the_environment():
    return os.environ["LANEWAY_TEST_SECRET"]

def read_the_environment_again():
    os.reload_environ()
    return os.environ["LANEWAY_TEST_SECRET"]

def read_the_environment_of_the_process():
    return str(b"LANEWAY_TEST_SECRET" in open("/proc/self/environ", "rb").read() or refuse("not there"))

def read_the_environment_of_the_engine():
    return str(b"LANEWAY_TEST_SECRET" in open(f"/proc/{ENGINE}/environ", "rb").read() or refuse("not there"))

def write_a_file():
    open(OUTSIDE + "/written.txt", "w").write("x")
    return "written"

def append_to_a_file():
    open(OUTSIDE + "/secret.txt", "a").write("")
    return "opened"

def write_into_the_package():
    open(__file__, "a").write("")
    return "opened"

def remove_a_file():
    os.remove(OUTSIDE + "/victim.txt")
    return "removed"

def rename_a_file():
    os.rename(OUTSIDE + "/victim.txt", OUTSIDE + "/moved.txt")
    return "renamed"

def make_a_folder():
    os.mkdir(OUTSIDE + "/folder")
    return "made"

def make_a_link():
    os.symlink(OUTSIDE + "/secret.txt", OUTSIDE + "/mine.txt")
    return "made"

def make_a_temporary_file():
    import tempfile
    return tempfile.mkstemp()[1]

def make_a_named_pipe():
    os.mkfifo(f"{OUTSIDE}/pipe-{os.getpid()}")
    return "made"

def change_permissions():
    os.chmod(OUTSIDE + "/secret.txt", 0o666)
    return "changed"

def open_a_socket():
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    return "opened"

def connect_a_socket():
    import socket
    socket.create_connection(("127.0.0.1", 9), timeout=1)
    return "connected"

def send_a_datagram():
    import socket
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
    return "sent"

def send_without_the_socket_module():
    import _socket
    _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
    return "sent"

def look_a_name_up():
    import socket
    return str(socket.getaddrinfo("localhost", 80))

def connect_to_a_local_socket():
    import socket
    socket.socket(socket.AF_UNIX).connect(OUTSIDE + "/no.sock")
    return "connected"

def fetch_a_page():
    import urllib.request
    return urllib.request.urlopen("http://127.0.0.1:9/", timeout=1).read().decode()

def start_a_program():
    import subprocess
    return subprocess.run(["/bin/echo", "started"], capture_output=True, text=True).stdout

def start_with_os_system():
    return "started" if os.system("true") == 0 else refuse("not started")

def start_with_popen():
    return os.popen("echo started").read() or refuse("not started")

def start_with_posix_spawn():
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    return "started"

def start_with_fork_exec():
    import _posixsubprocess
    read, write = os.pipe()
    pid = _posixsubprocess.fork_exec(
        [b"true"], [b"/bin/true"], True, (write,), None, None, -1, -1, -1, -1, -1, -1, read, write, False, False,
        -1, None, None, None, -1, None)
    os.waitpid(pid, 0)
    return "started"

def start_with_multiprocessing():
    import multiprocessing
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    return "started"

def fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "forked"

def start_a_thread():
    import threading
    thread = threading.Thread(target=print)
    thread.start()
    thread.join()
    return "started"

def start_a_raw_thread():
    import _thread
    _thread.start_new_thread(print, ())
    return "started"

def call_c_with_ctypes():
    import ctypes
    return str(ctypes.CDLL(None).getpid())

def call_c_with_the_module_below():
    import _ctypes
    return str(_ctypes.dlopen(None, 0))

def load_an_extension_module():
    import importlib.machinery, importlib.util
    loader = importlib.machinery.ExtensionFileLoader("stranger", OUTSIDE + "/stranger.so")
    return str(loader.create_module(importlib.util.spec_from_loader("stranger", loader)))

def read_memory_with_ctypes():
    import ctypes
    return str(ctypes.string_at(id("x"), 8))

def make_an_interpreter():
    from concurrent import interpreters
    return str(interpreters.create())

def make_an_interpreter_below():
    import _interpreters
    return str(_interpreters.create())

def import_interpreters_anew():
    sys.modules.pop("_interpreters", None)
    import _interpreters
    return str(_interpreters.create())

def send_a_signal():
    os.kill(ENGINE, 0)
    return "sent"

def raise_limits():
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return "changed"

def change_the_directory():
    os.chdir("/")
    return "changed"

def end_the_process():
    os._exit(3)

def lift_the_guard():
    module = sys.modules["laneway.lanes._guard"]
    import gc
    for one in gc.get_objects():
        if type(one) is module.Guard:
            one.lifted = True
    return open(OUTSIDE + "/secret.txt").read()

def change_the_guards_code():
    module = sys.modules["laneway.lanes._guard"]
    module.Guard._open.__code__ = (lambda self, arguments: None).__code__
    return open(OUTSIDE + "/secret.txt").read()

def replace_the_guards_method():
    module = sys.modules["laneway.lanes._guard"]
    module.Guard._within = staticmethod(lambda path, folders: True)
    return open(OUTSIDE + "/secret.txt").read()

def walk_the_stack():
    frame = sys._getframe()
    while frame is not None:
        worker = frame.f_locals.get("self")
        if hasattr(worker, "guard"):
            worker.guard.lifted = True
        frame = frame.f_back
    return open(OUTSIDE + "/secret.txt").read()

def add_another_hook():
    sys.addaudithook(lambda event, arguments: None)
    return open(OUTSIDE + "/secret.txt").read()

def swallow_the_refusal():
    try:
        return open(OUTSIDE + "/secret.txt").read()
    except BaseException:
        return refuse("caught, and gone on without it")

class Refused(Exception):
    pass

def refuse(why):
    raise Refused(why)

ATTEMPTS = {name: value for name, value in list(globals().items())
            if type(value) is type(refuse) and value.__module__ == __name__ and name not in ("task", "refuse", "hook")}

@task
def attempt(way):
    return str(ATTEMPTS[way]())

@task
def names():
    return sorted(ATTEMPTS, key=lambda name: ATTEMPTS[name].__code__.co_firstlineno)
"""
