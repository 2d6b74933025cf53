"""Device memory that travels as a file descriptor: one allocation of the CUDA driver per memory file of an arena.

The judge makes and exports it, the candidate maps it. Neither comes out of an allocator that other tensors live in,
so nothing but the arena is ever shared.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_int, c_size_t, c_ubyte, c_uint64, c_ulonglong, c_void_p

_PINNED = 1  # CU_MEM_ALLOCATION_TYPE_PINNED
_ON_DEVICE = 1  # CU_MEM_LOCATION_TYPE_DEVICE
_AS_DESCRIPTOR = 1  # CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR
_READ_WRITE = 3  # CU_MEM_ACCESS_FLAGS_PROT_READWRITE
_GRANULE = 2 << 20


class CudaError(Exception):
    """A call of the CUDA driver failed; the message names the call and the driver's own words."""


class _Location(Structure):
    _fields_ = (("type", c_int), ("id", c_int))


class _Properties(Structure):
    _fields_ = (
        ("type", c_int),
        ("handle_types", c_int),
        ("location", _Location),
        ("win32", c_void_p),
        ("flags", c_ubyte * 8),
    )


class _Access(Structure):
    _fields_ = (("location", _Location), ("flags", c_int))


class DeviceBytes:
    """Bytes on a device that torch can take for a tensor without a copy (``__cuda_array_interface__``)."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.address = address
        self.__cuda_array_interface__ = {
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 2,
        }


class Driver:
    """The CUDA driver, for the calling thread's current context.

    Parameters
    ----------
    ordinal
        The device, as this process counts.

    Raises
    ------
    CudaError
        If there is no driver.
    """

    def __init__(self, ordinal: int) -> None:
        try:
            self.library = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise CudaError(f"the CUDA driver cannot be loaded: {error}") from None
        self._ordinal = ordinal
        library = self.library
        library.cuMemCreate.argtypes = [POINTER(c_uint64), c_size_t, POINTER(_Properties), c_ulonglong]
        library.cuMemExportToShareableHandle.argtypes = [c_void_p, c_uint64, c_int, c_ulonglong]
        library.cuMemImportFromShareableHandle.argtypes = [POINTER(c_uint64), c_void_p, c_int]
        library.cuMemAddressReserve.argtypes = [
            POINTER(c_uint64),
            c_size_t,
            c_size_t,
            c_uint64,
            c_ulonglong,
        ]
        library.cuMemMap.argtypes = [c_uint64, c_size_t, c_size_t, c_uint64, c_ulonglong]
        library.cuMemSetAccess.argtypes = [c_uint64, c_size_t, POINTER(_Access), c_size_t]
        library.cuMemUnmap.argtypes = [c_uint64, c_size_t]
        library.cuMemAddressFree.argtypes = [c_uint64, c_size_t]
        library.cuMemRelease.argtypes = [c_uint64]
        library.cuGetErrorString.argtypes = [c_int, POINTER(ctypes.c_char_p)]

    def allocate(self, nbytes: int) -> tuple[DeviceBytes, int]:
        """Return ``nbytes`` bytes of memory of their own, and the descriptor to map them by elsewhere."""
        handle, descriptor = c_uint64(), c_int(-1)
        properties = _Properties(_PINNED, _AS_DESCRIPTOR, _Location(_ON_DEVICE, self._ordinal))
        self.check("cuMemCreate", byref(handle), whole(nbytes), byref(properties), 0)
        try:
            self.check("cuMemExportToShareableHandle", byref(descriptor), handle, _AS_DESCRIPTOR, 0)
            return self._mapped(handle, nbytes), descriptor.value
        finally:
            self.check("cuMemRelease", handle)  # the mapping and the descriptor keep it

    def attach(self, descriptor: int, nbytes: int) -> DeviceBytes:
        """Map what ``allocate`` made in another process."""
        handle = c_uint64()
        self.check("cuMemImportFromShareableHandle", byref(handle), c_void_p(descriptor), _AS_DESCRIPTOR)
        try:
            return self._mapped(handle, nbytes)
        finally:
            self.check("cuMemRelease", handle)

    def free(self, block: DeviceBytes, nbytes: int) -> None:
        """Unmap ``block``; nothing may use it any more."""
        self.check("cuMemUnmap", block.address, whole(nbytes))
        self.check("cuMemAddressFree", block.address, whole(nbytes))

    def check(self, call: str, *arguments: object) -> None:
        """Make a call of the driver.

        Raises
        ------
        CudaError
            If it does not succeed.
        """
        result = getattr(self.library, call)(*arguments)
        if result != 0:
            words = ctypes.c_char_p()
            self.library.cuGetErrorString(result, byref(words))
            raise CudaError(f"{call}: {(words.value or b'unknown error').decode()} (error {result})")

    def _mapped(self, handle: c_uint64, nbytes: int) -> DeviceBytes:
        address = c_uint64()
        size = whole(nbytes)
        self.check("cuMemAddressReserve", byref(address), size, 0, 0, 0)
        self.check("cuMemMap", address, size, 0, handle, 0)
        access = _Access(_Location(_ON_DEVICE, self._ordinal), _READ_WRITE)
        self.check("cuMemSetAccess", address, size, byref(access), 1)
        return DeviceBytes(address.value, nbytes)


def whole(nbytes: int) -> int:
    """Round up to what the driver can map."""
    return max(1, -(-nbytes // _GRANULE)) * _GRANULE
