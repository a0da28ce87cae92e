"""What a client by TLS shows and believes, out of a folder: `ca.crt`, `client.crt` and `client.key`."""

import os


def arguments(folder):
    """Of redis-py's clients; none without a folder."""
    if folder is None:
        return {}
    return {
        "ssl": True,
        "ssl_ca_certs": os.path.join(folder, "ca.crt"),
        "ssl_certfile": os.path.join(folder, "client.crt"),
        "ssl_keyfile": os.path.join(folder, "client.key"),
    }
