"""Bring the loopback interface of a fresh network namespace up, without iproute2 (ioctl SIOCSIFFLAGS)."""

import fcntl
import socket
import struct

SIOCSIFFLAGS, IFF_UP = 0x8914, 1

with socket.socket() as handle:
    fcntl.ioctl(handle, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
