"""What Python 3.12 to 3.15 removed and deprecate, as tables: modules, names, methods, call arguments.

Taken from the What's New pages of 3.12 to 3.15 and the lists of pending removals in the CPython documentation. A test
checks each entry against the interpreter that runs it: what is listed as removed is not there, the rest is.
"""

from typing import NamedTuple

__all__ = ["ARGUMENTS", "METHODS", "MODULES", "NAMES", "UNITTEST_ALIASES", "Change"]


class Change(NamedTuple):
    """What happened to one API: gone since `removed` ("3.13"), or deprecated and to go in it ("" when undated)."""

    kind: str
    removed: str
    instead: str


def _gone(version: str, instead: str) -> Change:
    return Change("removed", version, instead)


def _going(version: str, instead: str) -> Change:
    return Change("deprecated", version, instead)


MODULES: dict[str, Change] = {
    "asynchat": _gone("3.12", "asyncio"),
    "asyncore": _gone("3.12", "asyncio"),
    "distutils": _gone("3.12", "setuptools, sysconfig, shutil or packaging"),
    "imp": _gone("3.12", "importlib"),
    "smtpd": _gone("3.12", "the aiosmtpd package"),
    "aifc": _gone("3.13", "a package that reads AIFF"),
    "audioop": _gone("3.13", "the audioop-lts package or numpy"),
    "cgi": _gone("3.13", "urllib.parse, email.message, or a web framework"),
    "cgitb": _gone("3.13", "traceback or faulthandler"),
    "chunk": _gone("3.13", "a few lines of struct"),
    "crypt": _gone("3.13", "hashlib, or the passlib or bcrypt package"),
    "imghdr": _gone("3.13", "the filetype or puremagic package"),
    "lib2to3": _gone("3.13", "the LibCST or parso package"),
    "mailcap": _gone("3.13", "mimetypes"),
    "msilib": _gone("3.13", "a packaging tool for Windows"),
    "nis": _gone("3.13", "an LDAP client"),
    "nntplib": _gone("3.13", "an NNTP package"),
    "ossaudiodev": _gone("3.13", "an audio package"),
    "pipes": _gone("3.13", "subprocess with shlex"),
    "sndhdr": _gone("3.13", "the filetype or puremagic package"),
    "spwd": _gone("3.13", "PAM through a package"),
    "sunau": _gone("3.13", "wave, or an audio package"),
    "telnetlib": _gone("3.13", "the telnetlib3 package"),
    "tkinter.tix": _gone("3.13", "tkinter.ttk"),
    "uu": _gone("3.13", "base64 or binascii"),
    "xdrlib": _gone("3.13", "struct or an XDR package"),
    "sre_compile": _gone("3.15", "re (re._compiler is private)"),
    "sre_constants": _gone("3.15", "re (re._constants is private)"),
    "sre_parse": _gone("3.15", "re (re._parser is private)"),
    "profile": _going("3.17", "cProfile, or profiling.tracing from 3.15 on"),
    "nturl2path": _going("3.19", "urllib.request.url2pathname and pathname2url"),
}

_AST = "ast.Constant"
_RESOURCES = "importlib.resources.abc"
_POLICY = "asyncio.run(..., loop_factory=...) or asyncio.Runner"
_VERSION = "sys.version_info"

NAMES: dict[str, Change] = {
    # gone in 3.12
    "configparser.SafeConfigParser": _gone("3.12", "configparser.ConfigParser"),
    "importlib.find_loader": _gone("3.12", "importlib.util.find_spec"),
    "importlib.util.module_for_loader": _gone("3.12", "nothing: importlib sets the attributes"),
    "importlib.util.set_loader": _gone("3.12", "nothing: importlib sets the attributes"),
    "importlib.util.set_package": _gone("3.12", "nothing: importlib sets the attributes"),
    "importlib.abc.Finder": _gone("3.12", "importlib.abc.MetaPathFinder or PathEntryFinder"),
    "pkgutil.ImpImporter": _gone("3.12", "importlib.machinery.FileFinder"),
    "pkgutil.ImpLoader": _gone("3.12", "importlib.machinery.SourceFileLoader"),
    "sqlite3.enable_shared_cache": _gone("3.12", "the cache=shared URI parameter"),
    "sqlite3.OptimizedUnicode": _gone("3.12", "str"),
    "ssl.RAND_pseudo_bytes": _gone("3.12", "os.urandom"),
    "ssl.match_hostname": _gone("3.12", "SSLContext.check_hostname"),
    "ssl.wrap_socket": _gone("3.12", "SSLContext.wrap_socket"),
    "unittest._TextTestResult": _gone("3.12", "unittest.TextTestResult"),
    "webbrowser.MacOSX": _gone("3.13", "webbrowser.get"),
    # gone in 3.13
    "configparser.LegacyInterpolation": _gone(
        "3.13", "configparser.BasicInterpolation or ExtendedInterpolation"
    ),
    "importlib.resources.Resource": _gone("3.13", "str"),
    "locale.resetlocale": _gone("3.13", "locale.setlocale(locale.LC_ALL, '')"),
    "re.template": _gone("3.13", "nothing: it never worked as documented"),
    "re.TEMPLATE": _gone("3.13", "nothing: it never worked as documented"),
    "token.ASYNC": _gone("3.13", "nothing: async is a keyword, hence a NAME token"),
    "token.AWAIT": _gone("3.13", "nothing: await is a keyword, hence a NAME token"),
    "typing.io": _gone("3.13", "typing"),
    "typing.re": _gone("3.13", "typing"),
    "unittest.findTestCases": _gone("3.13", "unittest.TestLoader.loadTestsFromModule"),
    "unittest.getTestCaseNames": _gone("3.13", "unittest.TestLoader.getTestCaseNames"),
    "unittest.loader.findTestCases": _gone("3.13", "unittest.TestLoader.loadTestsFromModule"),
    "unittest.loader.getTestCaseNames": _gone("3.13", "unittest.TestLoader.getTestCaseNames"),
    "unittest.loader.makeSuite": _gone("3.13", "unittest.TestLoader.loadTestsFromTestCase"),
    "unittest.makeSuite": _gone("3.13", "unittest.TestLoader.loadTestsFromTestCase"),
    # gone in 3.14
    "ast.Bytes": _gone("3.14", _AST),
    "ast.Ellipsis": _gone("3.14", _AST),
    "ast.NameConstant": _gone("3.14", _AST),
    "ast.Num": _gone("3.14", _AST),
    "ast.Str": _gone("3.14", _AST),
    "asyncio.AbstractChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.FastChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.MultiLoopChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.PidfdChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.SafeChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.ThreadedChildWatcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.get_child_watcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "asyncio.set_child_watcher": _gone("3.14", "nothing: asyncio needs no child watcher"),
    "importlib.abc.ResourceReader": _gone("3.14", f"{_RESOURCES}.TraversableResources"),
    "importlib.abc.Traversable": _gone("3.14", f"{_RESOURCES}.Traversable"),
    "importlib.abc.TraversableResources": _gone("3.14", f"{_RESOURCES}.TraversableResources"),
    "pkgutil.find_loader": _gone("3.14", "importlib.util.find_spec"),
    "pkgutil.get_loader": _gone("3.14", "importlib.util.find_spec"),
    "pty.master_open": _gone("3.14", "pty.openpty"),
    "pty.slave_open": _gone("3.14", "pty.openpty"),
    "sqlite3.version": _gone("3.14", "sqlite3.sqlite_version"),
    "sqlite3.version_info": _gone("3.14", "sqlite3.sqlite_version_info"),
    "urllib.parse.Quoter": _gone("3.14", "urllib.parse.quote"),
    "urllib.request.FancyURLopener": _gone("3.14", "urllib.request.build_opener"),
    "urllib.request.URLopener": _gone("3.14", "urllib.request.build_opener"),
    # gone in 3.15
    "ctypes.SetPointerType": _gone("3.15", "ctypes.POINTER"),
    "glob.glob0": _gone("3.15", "glob.glob(..., root_dir=...)"),
    "glob.glob1": _gone("3.15", "glob.glob(..., root_dir=...)"),
    "http.server.CGIHTTPRequestHandler": _gone("3.15", "a WSGI or ASGI server"),
    "platform.java_ver": _gone("3.15", "platform.python_implementation"),
    "typing.no_type_check_decorator": _gone("3.15", "typing.no_type_check"),
    # to go in 3.16 and 3.17
    "asyncio.AbstractEventLoopPolicy": _going("3.16", _POLICY),
    "asyncio.DefaultEventLoopPolicy": _going("3.16", _POLICY),
    "asyncio.WindowsProactorEventLoopPolicy": _going("3.16", _POLICY),
    "asyncio.WindowsSelectorEventLoopPolicy": _going("3.16", _POLICY),
    "asyncio.get_event_loop_policy": _going("3.16", _POLICY),
    "asyncio.set_event_loop_policy": _going("3.16", _POLICY),
    "asyncio.iscoroutinefunction": _going("3.16", "inspect.iscoroutinefunction"),
    "shutil.ExecError": _going("3.16", "RuntimeError"),
    "sys._enablelegacywindowsfsencoding": _going(
        "3.16", "the PYTHONLEGACYWINDOWSFSENCODING environment variable"
    ),
    "sysconfig.expand_makefile_vars": _going("3.16", "the vars argument of sysconfig.get_paths"),
    "collections.abc.ByteString": _going("3.17", "bytes | bytearray, or collections.abc.Buffer"),
    "typing.ByteString": _going("3.17", "bytes | bytearray, or collections.abc.Buffer"),
    "typing._UnionGenericAlias": _going("3.17", "typing.get_origin and typing.get_args"),
    "webbrowser.MacOSXOSAScript": _going("3.17", "webbrowser.get"),
    # to go in 3.19 and 3.20
    "ctypes._pointer_type_cache": _going("3.19", "ctypes.POINTER"),
    "argparse.__version__": _going("3.20", _VERSION),
    "csv.__version__": _going("3.20", _VERSION),
    "ctypes.__version__": _going("3.20", _VERSION),
    "decimal.__version__": _going("3.20", "decimal.SPEC_VERSION"),
    "http.server.__version__": _going("3.20", _VERSION),
    "imaplib.__version__": _going("3.20", _VERSION),
    "ipaddress.__version__": _going("3.20", _VERSION),
    "json.__version__": _going("3.20", _VERSION),
    "logging.__version__": _going("3.20", _VERSION),
    "optparse.__version__": _going("3.20", _VERSION),
    "platform.__version__": _going("3.20", _VERSION),
    "re.__version__": _going("3.20", _VERSION),
    "socketserver.__version__": _going("3.20", _VERSION),
    "xml.etree.ElementTree.VERSION": _going("3.20", _VERSION),
    "zlib.__version__": _going("3.20", _VERSION),
    # deprecated without a date
    "argparse.FileType": _going("", "open the file after parsing the arguments"),
    "calendar.February": _going("", "calendar.FEBRUARY"),
    "calendar.January": _going("", "calendar.JANUARY"),
    "codecs.open": _going("", "open(..., encoding=...)"),
    "datetime.datetime.utcfromtimestamp": _going("", "datetime.fromtimestamp(stamp, tz=datetime.UTC)"),
    "datetime.datetime.utcnow": _going("", "datetime.now(tz=datetime.UTC)"),
    "importlib.machinery.DEBUG_BYTECODE_SUFFIXES": _going("", "importlib.machinery.BYTECODE_SUFFIXES"),
    "importlib.machinery.OPTIMIZED_BYTECODE_SUFFIXES": _going("", "importlib.machinery.BYTECODE_SUFFIXES"),
    "locale.getdefaultlocale": _going("", "locale.getlocale, or locale.getencoding for the encoding"),
    "logging.warn": _going("", "logging.warning"),
    "os.path.commonprefix": _going("", "os.path.commonpath, which looks at whole names"),
    "ssl.PROTOCOL_TLS": _going("", "ssl.PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER"),
    "ssl.PROTOCOL_TLSv1": _going("", "ssl.PROTOCOL_TLS_CLIENT and SSLContext.minimum_version"),
    "ssl.PROTOCOL_TLSv1_1": _going("", "ssl.PROTOCOL_TLS_CLIENT and SSLContext.minimum_version"),
    "ssl.PROTOCOL_TLSv1_2": _going("", "ssl.PROTOCOL_TLS_CLIENT and SSLContext.minimum_version"),
    "sys._clear_type_cache": _going("", "sys._clear_internal_caches"),
    "threading.activeCount": _going("", "threading.active_count"),
    "threading.currentThread": _going("", "threading.current_thread"),
    "urllib.parse.splitattr": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splithost": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splitnport": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splitpasswd": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splitport": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splitquery": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splittag": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splittype": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splituser": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.splitvalue": _going("", "urllib.parse.urlsplit"),
    "urllib.parse.to_bytes": _going("", "str.encode"),
}
"""Dotted name as written in code: what happened to it."""

METHODS: dict[str, tuple[str, str]] = {
    "notifyAll": ("threading.Condition", "notify_all()"),
    "isSet": ("threading.Event", "is_set()"),
    "isDaemon": ("threading.Thread", "the daemon attribute"),
    "setDaemon": ("threading.Thread", "the daemon attribute"),
}
"""Deprecated camel-case methods of `threading` whose names hardly occur elsewhere."""

UNITTEST_ALIASES: dict[str, str] = {
    "failUnless": "assertTrue",
    "failIf": "assertFalse",
    "failUnlessEqual": "assertEqual",
    "failIfEqual": "assertNotEqual",
    "failUnlessAlmostEqual": "assertAlmostEqual",
    "failIfAlmostEqual": "assertNotAlmostEqual",
    "failUnlessRaises": "assertRaises",
    "assert_": "assertTrue",
    "assertEquals": "assertEqual",
    "assertNotEquals": "assertNotEqual",
    "assertAlmostEquals": "assertAlmostEqual",
    "assertNotAlmostEquals": "assertNotAlmostEqual",
    "assertRegexpMatches": "assertRegex",
    "assertNotRegexpMatches": "assertNotRegex",
    "assertRaisesRegexp": "assertRaisesRegex",
}
"""`TestCase` methods that 3.12 removed: the name that stays."""

ARGUMENTS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "argparse.BooleanOptionalAction": (
        ("type=", "3.14", "drop it"),
        ("choices=", "3.14", "drop it"),
        ("metavar=", "3.14", "drop it"),
    ),
    "email.utils.localtime": (("isdst=", "3.14", "drop it"),),
    "importlib.resources.files": (("package=", "3.15", "pass the anchor by position"),),
    "sysconfig.is_python_build": (("check_home=", "3.15", "drop it"),),
    "threading.RLock": (("any", "3.15", "pass nothing"),),
    "typing.NamedTuple": (("extra keyword", "3.15", "use the class syntax"),),
    "typing.TypedDict": (("no fields", "3.15", "pass {} or use the class syntax"),),
    "functools.reduce": (
        ("function=", "3.16", "pass it by position"),
        ("sequence=", "3.16", "pass it by position"),
    ),
    "array.array": (("'u'", "3.16", "use the type code 'w'"),),
    "hashlib.new": (("string=", "3.19", "pass the data by position"),),
    "hashlib.md5": (("string=", "3.19", "pass the data by position"),),
    "hashlib.sha1": (("string=", "3.19", "pass the data by position"),),
    "hashlib.sha256": (("string=", "3.19", "pass the data by position"),),
    "hashlib.sha512": (("string=", "3.19", "pass the data by position"),),
    "shutil.rmtree": (("onerror=", "", "use onexc="),),
    "ssl.SSLContext": (("no arguments", "", "pass ssl.PROTOCOL_TLS_CLIENT or PROTOCOL_TLS_SERVER"),),
}
"""Callable: the argument forms that stopped or stop working, the version ("" when undated), and the way out."""
