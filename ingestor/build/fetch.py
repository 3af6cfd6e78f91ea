"""Puts a ready-made libduckdb into the current folder.

    fetch.py archive URL-OR-FILE SHA256
    fetch.py wheel VERSION PLATFORM SHA256

Needs Python 3.8 with its standard library and, for the wheel, pip. Whatever is not what its checksum says is refused.
On failure the last line of standard error says why.
"""

import glob
import hashlib
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
import urllib.request

# Seconds until a server that says nothing is given up, and until a download is. A machine without a way out should know
# soon; 25 MB over a slow line take a while.
CONNECT_OR_STALL = float(os.environ.get("FLEETPS_FETCH_TIMEOUT_S", "6"))
DOWNLOAD = 180
# The archive has 26 MB, its library 77.
MAX_ARCHIVE_BYTES = 256 << 20
LIBRARIES = ("libduckdb.", "duckdb.dll", "duckdb.lib")


def download(url):
    # urllib limits each read, so that it would wait for a server that sends a byte a second.
    end = threading.Timer(DOWNLOAD, lambda: (sys.stderr.write(f"not done after {DOWNLOAD} s\n"), os._exit(1)))
    end.daemon = True
    end.start()
    with urllib.request.urlopen(url, timeout=CONNECT_OR_STALL) as response:
        data = response.read(MAX_ARCHIVE_BYTES + 1)
    end.cancel()
    if len(data) > MAX_ARCHIVE_BYTES:
        sys.exit(f"more than {MAX_ARCHIVE_BYTES >> 20} MiB")
    return data


def archive(source, sha256):
    if "://" in source:
        data = download(source)
    else:
        with open(source, "rb") as file:
            data = file.read()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256.lower():
        sys.exit(f"it has SHA-256 {found}; {sha256} was expected")
    taken = 0
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        for member in members:
            name = os.path.basename(member.name)
            if not name.startswith(LIBRARIES):
                continue
            if member.issym() and os.path.basename(member.linkname) == member.linkname:
                os.symlink(member.linkname, name)
            elif member.isfile():
                with open(name, "wb") as file:
                    file.write(members.extractfile(member).read())
                os.chmod(name, 0o755)
            taken += 1
    if not taken:
        sys.exit("it holds no libduckdb")


def wheel(version, platform, sha256):
    with open("wanted", "w", encoding="ascii") as file:
        file.write(f"duckdb=={version} --hash=sha256:{sha256}\n")
    # With the platform and Python's version named, it is the same file whichever Python is installed.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--only-binary=:all:", "--require-hashes", "--python-version=3.12", f"--platform={platform}"]
    pip += [f"--timeout={CONNECT_OR_STALL}", "--retries=1", "--target=wheel", "--requirement=wanted"]
    try:
        done = subprocess.run(pip, timeout=DOWNLOAD, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    except subprocess.TimeoutExpired:
        sys.exit(f"pip was not done after {DOWNLOAD} s")
    if done.returncode:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        if "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stdout:
            found = [line.split()[-1] for line in lines if line.startswith("Got")]
            sys.exit(f"it has SHA-256 {' '.join(found)}; {sha256} was expected")
        errors = [line for line in lines if line.startswith("ERROR")] or lines or ["pip failed without a word"]
        sys.exit(errors[-1])
    modules = glob.glob(os.path.join("wheel", "_duckdb*.so"))
    if len(modules) != 1:
        sys.exit("it holds no _duckdb*.so")
    with open(modules[0], "rb") as file:
        elf = bytearray(file.read())
    make_python_optional(elf)
    with open("libduckdb.so", "wb") as file:
        file.write(elf)
    os.chmod("libduckdb.so", 0o755)


def make_python_optional(elf):
    """Makes the names of Python's own library weak, so that the module loads where there is no Python.

    An extension module looks for them in the program that loads it. DuckDB's C interface uses none of them.
    Offsets and constants are those of the 64-bit little-endian ELF format (elf.h).
    """
    if elf[:6] != b"\x7fELF\x02\x01":
        sys.exit("_duckdb*.so is no 64-bit little-endian ELF file")
    at = lambda kind, where: struct.unpack_from("<" + kind, elf, where)[0]
    sections = [at("Q", 0x28) + 64 * index for index in range(at("H", 0x3C))]
    table = next(section for section in sections if at("I", section + 4) == 11)  # SHT_DYNSYM
    names, first = at("Q", sections[at("I", table + 0x28)] + 0x18), at("Q", table + 0x18)
    for symbol in range(first, first + at("Q", table + 0x20), 24):
        name, is_undefined = names + at("I", symbol), at("H", symbol + 6) == 0
        if is_undefined and elf[name : name + 3].startswith((b"Py", b"_Py")):
            elf[symbol + 4] = elf[symbol + 4] & 0xF | 2 << 4  # STB_WEAK


if __name__ == "__main__":
    try:
        {"archive": archive, "wheel": wheel}[sys.argv[1]](*sys.argv[2:])
    except (OSError, tarfile.TarError, struct.error) as error:
        sys.exit(str(error) or type(error).__name__)
