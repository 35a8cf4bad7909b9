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
    # It replaces C functions of the whole process: the deep probe's threads end each other's travels.
    "time-machine": (
        "import time, time_machine\n"
        "travel = time_machine.travel(0)\n"
        "travel.start()\n"
        "late = next((now for now in (time.time() for _ in range(50_000)) if now > 1e6), None)\n"
        "travel.stop()\n"
        "assert late is None, 'a time set in this interpreter was ended by another one'"
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
