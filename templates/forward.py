"""Takes the connections to a port of its own loopback, and passes them on over its standard input and output.

Usage: python -I -S -c TEXT PORT

It runs beside a job, in the job's network, where no address of the submitting machine can be reached. Frames, in both directions: one byte
of kind, the connection's number and a length in 4 bytes each.

    R  it listens       O  a connection was opened      D  so many bytes of it follow
    A  so many bytes of it were passed on: as many more may come             C  no more bytes of it come
"""
import os
import socket
import struct
import sys
import threading

# Bytes of one connection that may be under way; the other side has the same.
WINDOW = 1 << 20
PIECE = 64 << 10
HEAD = struct.Struct(">cII")

writing = threading.Lock()


def send(kind, number, length=0, data=b""):
    with writing:
        view = memoryview(HEAD.pack(kind, number, length) + data)
        while view:
            view = view[os.write(1, view):]


class Connection:
    def __init__(self, number, peer):
        self.number, self.peer = number, peer
        self.credit, self.waiting = WINDOW, []
        self.changed = threading.Condition()

    def begin(self):
        for work in (self.take, self.give):
            threading.Thread(target=work, daemon=True).start()

    def take(self):
        """Passes on what the job sends."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.credit > 0)
                most = min(PIECE, self.credit)
            try:
                data = self.peer.recv(most)
            except OSError:
                data = b""
            if not data:
                break
            with self.changed:
                self.credit -= len(data)
            send(b"D", self.number, len(data), data)
        send(b"C", self.number)

    def give(self):
        """Gives the job what comes for it."""
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting)
                data = self.waiting.pop(0)
            if not data:
                break
            try:
                self.peer.sendall(data)
            except OSError:
                pass  # It has gone away, which the other thread tells.
            send(b"A", self.number, len(data))
        try:
            self.peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def come(self, data):
        with self.changed:
            self.waiting.append(data)
            self.changed.notify_all()

    def more(self, count):
        with self.changed:
            self.credit += count
            self.changed.notify_all()


def accept(listener, connections):
    number = 0
    while True:
        peer, _ = listener.accept()
        number += 1
        connections[number] = Connection(number, peer)
        send(b"O", number)
        connections[number].begin()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    connections = {}
    send(b"R", 0)
    threading.Thread(target=accept, args=(listener, connections), daemon=True).start()
    source = os.fdopen(0, "rb")
    while True:
        head = source.read(HEAD.size)
        if len(head) < HEAD.size:
            break
        kind, number, length = HEAD.unpack(head)
        data = source.read(length) if kind == b"D" else b""
        connection = connections.get(number)
        if connection is None:
            continue
        if kind == b"A":
            connection.more(length)
        elif kind == b"D":
            connection.come(data)
        elif kind == b"C":
            connection.come(b"")
    # Nobody is there to pass it on to: what the job sends waits until another takes this one's place.
    threading.Event().wait()


main()
