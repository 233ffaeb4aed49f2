"""A server between a client and another one, which can lose what passes through it."""

import socket
import threading


class LossyProxy:
    """Passes bytes on, until it is told to lose the connection at the next ``EXEC``.

    ``lose`` is None, ``"request"`` (the server never sees it) or ``"reply"`` (it is carried out,
    and nobody learns of it). Each loss happens once, after ``spare`` transactions have passed.
    """

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.lose, self.spare = None, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.target)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client, server):
        with client, server:
            while data := _received(client):
                if self.lose is not None and b"EXEC\r\n" in data:
                    if self.spare:
                        self.spare -= 1
                    else:
                        if self.lose == "reply":
                            client.shutdown(socket.SHUT_RDWR)
                            server.sendall(data)
                            server.shutdown(socket.SHUT_WR)
                            while _received(server):
                                pass
                        self.lose = None
                        return
                server.sendall(data)

    def _replies(self, server, client):
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                return

    def close(self):
        self.listener.close()


def _received(connection):
    try:
        return connection.recv(1 << 16)
    except OSError:
        return b""
