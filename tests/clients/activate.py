"""Holds a listening socket and starts a server on it, as systemd does.

Prints the port. Each line on standard input is the name of a signal: the server gets it, and when it has ended, the next
one is started. At the end of the input the server is stopped for good.
"""

import os
import signal
import socket
import sys

held = socket.socket()
held.bind(("127.0.0.1", 0))
held.listen(512)
print(held.getsockname()[1], flush=True)


def start():
    pid = os.fork()
    if pid == 0:
        os.dup2(held.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
        os.execv(sys.argv[1], [sys.argv[1], "serve"])
    return pid


running = start()
for line in sys.stdin:
    os.kill(running, getattr(signal, line.strip()))
    os.waitpid(running, 0)
    running = start()
os.kill(running, signal.SIGTERM)
os.waitpid(running, 0)
