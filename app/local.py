"""What servers on this machine have in common: they listen on 127.0.0.1 alone, and answer to no other name.

Every website open in the user's browser can send requests there, under a name of its own that resolves to 127.0.0.1
(DNS rebinding). So the Host header of a request has to name this machine.
"""

from __future__ import annotations

import re
from email.message import Message

HOST = "127.0.0.1"
HOST_NAMES = (HOST, "localhost")  # with any port, as a tunnel may use another one


def local_host(headers: Message) -> str | None:
    """The Host header of a request, or None where it is missing, given twice or names another machine."""
    hosts = headers.get_all("Host") or [""]
    name = re.fullmatch(r"([\w.-]+)(:\d+)?", hosts[0], re.ASCII)
    return hosts[0].lower() if len(hosts) == 1 and name and name[1].lower() in HOST_NAMES else None


def port_refused(port: int, error: OSError) -> ValueError:
    """What to tell of a port that can't be listened on."""
    return ValueError(f"--port {port}: {error.strerror or error}; stop what uses it or choose another one")
