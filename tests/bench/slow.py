"""A proxy that delays every request on its way to a server, as a longer wire would."""

import selectors
import socket
import threading
import time


def start(port: int, delay: float) -> int:
    """Starts it in front of a port on this machine, in threads that end with this process; returns its own port."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener, port, delay), daemon=True).start()
    return listener.getsockname()[1]


def accept(listener: socket.socket, port: int, delay: float) -> None:
    while True:
        client = listener.accept()[0]
        threading.Thread(target=pump, args=(client, port, delay), daemon=True).start()


def pump(client: socket.socket, port: int, delay: float) -> None:
    """Passes bytes both ways; what comes from the client waits, once for what arrives together."""
    server = socket.create_connection(("127.0.0.1", port))
    for one in (client, server):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector = selectors.DefaultSelector()
    selector.register(client, selectors.EVENT_READ, server)
    selector.register(server, selectors.EVENT_READ, client)
    late = 0.0
    while True:
        for key, _ in selector.select():
            try:
                data = key.fileobj.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                client.close()
                server.close()
                return
            if key.fileobj is client and time.monotonic() > late:
                # The head and the body of a request are two packets, and one way.
                time.sleep(delay)
                late = time.monotonic() + delay / 4
            key.data.sendall(data)
