"""The same as stalled-clients.ts, with the packets and the small windows of a network: loopback's packets of 64 KiB let the
kernel take megabytes for each connection, and Node can ask for neither."""
import json
import os
import socket
import ssl
import sys
import threading
import time

ETHERNET = 1460
WINDOW = 4096

task = json.loads(sys.argv[1])
# With the one who started it, it ends.
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()

FIRST = {
    "websocket": "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "sse": "Accept: text/event-stream\r\n",
}[task["kind"]]
context = ssl._create_unverified_context()


def open_one():
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, ETHERNET)
    one.connect(("127.0.0.1", task["port"]))
    if task["secure"]:
        one = context.wrap_socket(one)
    one.sendall(f"GET {task['path']} HTTP/1.1\r\nHost: 127.0.0.1\r\n{FIRST}\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        byte = one.recv(1)
        if not byte or len(head) > 4096:
            sys.exit(f"refused: {head}")
        head += byte
    if head.split(b" ")[1] not in (b"101", b"200"):
        sys.exit(f"refused: {head}")
    one.setblocking(False)
    return one


crowd = [open_one() for _ in range(task["count"])]
print(json.dumps({"opened": len(crowd)}), flush=True)
while True:
    time.sleep(task["sipEvery"] / 1000 or 3600)
    for one in crowd:
        try:
            one.recv(1)
        except OSError:
            pass
