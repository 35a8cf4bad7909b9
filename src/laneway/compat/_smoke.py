"""Small calls that show whether a distribution is usable, not only importable."""

__all__ = ["INSTEAD", "SMOKE"]

SMOKE: dict[str, str] = {
    "cffi": "import cffi; cffi.FFI().typeof('int')",
    "cryptography": "from cryptography.fernet import Fernet; Fernet(Fernet.generate_key()).encrypt(b'x')",
    "google-crc32c": "import google_crc32c; assert google_crc32c.value(b'x') > 0",
    "lxml": "from lxml import etree; etree.fromstring('<a/>')",
    "markupsafe": "import markupsafe; assert str(markupsafe.escape('<')) == '&lt;'",
    "msgpack": "import msgpack; assert msgpack.unpackb(msgpack.packb([1])) == [1]",
    "multidict": "import multidict; assert multidict.MultiDict(a=1)['a'] == 1",
    "numpy": "import numpy; assert numpy.arange(3).sum() == 3",
    "pillow": "from PIL import Image; Image.new('L', (2, 2)).tobytes()",
    "polars": "import polars; polars.DataFrame({'a': [1]}).height",
    "psutil": "import psutil; psutil.Process().pid",
    "pynacl": "import nacl.secret, nacl.utils; nacl.utils.random(8)",
    "pyyaml": "import yaml; assert yaml.safe_load('a: 1') == {'a': 1}",
    "rapidfuzz": "import rapidfuzz.fuzz; assert rapidfuzz.fuzz.ratio('a', 'a') == 100",
    "setproctitle": "import setproctitle; setproctitle.getproctitle()",
    "simplejson": "import simplejson; assert simplejson.loads('[1]') == [1]",
    # It replaces C functions of the whole process: what one interpreter sets must not be seen by the next.
    "time-machine": (
        "import os, time, time_machine\n"
        "open('.now', 'w').close()\n"
        "assert abs(time.time() - os.stat('.now').st_mtime) < 60, 'a time set in another interpreter is seen here'\n"
        "time_machine.travel(0).start()"
    ),
    "websockets": "from websockets.frames import Frame, Opcode; Frame(Opcode.TEXT, b'x').serialize(mask=True)",
    "xxhash": "import xxhash; assert xxhash.xxh64(b'x').hexdigest()",
}
"""By distribution; each is run after its top modules were imported."""

INSTEAD: dict[str, tuple[str, ...]] = {
    "psycopg-binary": ("psycopg",),
    "psycopg-c": ("psycopg",),
}
"""What to import instead of a distribution's own modules, where another one must load them."""
