"""dead_mount.py POINT PROGRAM ARGUMENTS…: mounts a FUSE file system that nobody serves at POINT, in a mount namespace
of its own, and becomes PROGRAM. Ends with 77 where that is not allowed."""
import ctypes
import os
import sys

NEW_NAMESPACE, PRIVATE, RECURSIVE, NOT_ALLOWED = 0x20000, 1 << 18, 1 << 14, 77
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(NEW_NAMESPACE) or libc.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None):
    sys.exit(NOT_ALLOWED)
try:
    server = os.open("/dev/fuse", os.O_RDWR)
except OSError:
    sys.exit(NOT_ALLOWED)
data = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"dead:/srv", sys.argv[1].encode(), b"fuse.sshfs", 0, data):
    sys.exit(NOT_ALLOWED)
# Open in the program as well: closing it would end every wait.
os.set_inheritable(server, True)
os.execv(sys.argv[2], sys.argv[2:])
