"""Keys of random streams: every tensor of every call has its own, derived from one secret by BLAKE2b."""

from __future__ import annotations

import hashlib

import numpy as np

SECRET_BYTES = 32
DIGEST_BYTES = 32


class Stream:
    """The random streams of one subject, e.g. one tensor of one workload: one stream per call number.

    Parameters
    ----------
    secret
        32 bytes that the candidate never sees; ValueError for another number.
    subject
        What the streams are for; each part counts with its length, so no two subjects run into each other.
    """

    def __init__(self, secret: bytes, *subject: str) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the secret should have {SECRET_BYTES} bytes, not {len(secret)}")
        self._prefix = hashlib.blake2b(key=secret, digest_size=DIGEST_BYTES)
        for part in subject:
            encoded = part.encode("utf-8", "surrogatepass")
            self._prefix.update(len(encoded).to_bytes(8, "little") + encoded)

    def digest(self, call: int) -> bytes:
        """Return 32 bytes that nobody without the secret can tell from random ones."""
        hasher = self._prefix.copy()
        hasher.update(call.to_bytes(8, "little"))
        return hasher.digest()

    def generator(self, call: int) -> np.random.Generator:
        """Return a generator (Philox, counter 0) whose key is the first 128 bits of the call's digest."""
        return generator(self.digest(call))


def generator(digest: bytes) -> np.random.Generator:
    """Return a generator (Philox, counter 0) whose key is the first 128 bits of ``digest``."""
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype="<u8", count=2)))
