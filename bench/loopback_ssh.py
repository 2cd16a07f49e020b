"""A private OpenSSH server on loopback, with keys of its own, and a relay that counts bytes."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
ALIAS = "traintop-bench"
RECEIVE_BUFFER = 1 << 16
"""Bytes that wait at the relay: few, so that a stopped connection is soon felt by the far side."""
SERVER = """\
ListenAddress {address}
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
Compression yes
"""


def find_sshd() -> str:
    """The path of the server, which must be started by its full path.

    Raises:
        SystemExit: It is not installed.
    """
    folders = (os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/lib/ssh")
    found = shutil.which("sshd", path=os.pathsep.join(folders))
    missing = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None]
    if found is None or missing:
        names = ", ".join([*missing, *([] if found else ["sshd"])])
        raise SystemExit(f"{names}: not installed; on Debian: apt-get install openssh-server")
    return str(Path(found).resolve())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


class Relay:
    """Passes connections on to a port and counts what comes back; it can be stopped and cut."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server((LOOPBACK, 0))
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.received = 0
        """Bytes that the far side has sent, without the headers of TCP and IP."""
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Take nothing more from the far side; keys still get there."""
        self._flows.clear()

    def cut(self) -> None:
        """Break all connections, and let later ones flow."""
        for end in self._ends:
            _shut(end)
        self._ends.clear()
        self._flows.set()

    def close(self) -> None:
        """Take no further connection."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.socket()
                far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                far.connect((LOOPBACK, self._target))
            except OSError:
                return
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._ends.append(end)
            threading.Thread(target=self._send, args=(near, far), daemon=True).start()
            threading.Thread(target=self._receive, args=(far, near), daemon=True).start()

    def _send(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 16):
                far.sendall(data)
        _shut(near)
        _shut(far)

    def _receive(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while self._flows.wait() and (data := far.recv(1 << 16)):
                self.received += len(data)
                near.sendall(data)
        _shut(near)
        _shut(far)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


class LoopbackSsh:
    """An SSH server for as long as the block runs."""

    def __init__(self) -> None:
        self._sshd = find_sshd()
        self.folder = Path(tempfile.mkdtemp(prefix="traintop-bench-ssh-"))
        self._made: Path | None = None
        self._port = free_port()

    def __enter__(self) -> Self:
        for name in ("host", "user"):
            key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name)]
            subprocess.run(key, check=True)
        public = " ".join((self.folder / "host.pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text(f"{ALIAS} {public}\n")
        configuration = self.folder / "sshd_config"
        configuration.write_text(
            SERVER.format(address=LOOPBACK, port=self._port, folder=self.folder)
        )
        self._check(configuration)
        self._log = (self.folder / "sshd.log").open("w")
        self._server = subprocess.Popen(
            [self._sshd, "-D", "-e", "-f", str(configuration)],
            stdin=subprocess.DEVNULL,
            stderr=self._log,
        )
        self._wait_for_server()
        self.relay = Relay(self._port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.relay.close()
        self._server.terminate()
        self._server.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._made is not None:
            self._made.rmdir()

    def command(self, *program: str, compressed: bool = False) -> list[str]:
        """The command line of a client that runs a program on a terminal of the far side."""
        options = {
            "Compression": "yes" if compressed else "no",
            "IdentityFile": str(self.folder / "user"),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "HostKeyAlias": ALIAS,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        where = ["-p", str(self.relay.port), f"{getpass.getuser()}@{LOOPBACK}"]
        return ["ssh", "-F", os.devnull, "-tt", *flags, *where, shlex.join(program)]

    def run(self, *program: str) -> str:
        """Run a program on the far side and return what it prints.

        Raises:
            SystemExit: There is no connection.
        """
        done = subprocess.run(self.command(*program), capture_output=True, text=True, check=False)
        if done.returncode:
            log = (self.folder / "sshd.log").read_text()
            raise SystemExit(f"no connection to the private sshd: {done.stderr}{log}")
        return done.stdout

    def _check(self, configuration: Path) -> None:
        """Let sshd judge its configuration; make the empty folder that it wants to have."""
        check: Sequence[str] = [self._sshd, "-t", "-f", str(configuration)]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        wanted = re.search(r"Missing privilege separation directory: (\S+)", done.stderr)
        if wanted is not None:
            self._made = Path(wanted[1])
            self._made.mkdir(mode=0o755)
            done = subprocess.run(check, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self._sshd} refuses its configuration: {done.stderr.strip()}")

    def _wait_for_server(self) -> None:
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((LOOPBACK, self._port), 1).close()
            except OSError:
                if time.monotonic() > end or self._server.poll() is not None:
                    said = (self.folder / "sshd.log").read_text().strip()
                    raise SystemExit(f"sshd did not start: {said}") from None
                time.sleep(0.05)
            else:
                return
