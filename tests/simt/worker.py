"""The other end of watched.py: loads a library of launchers and calls them, `python worker.py LIBRARY`.

Knows nothing but the standard library, so that a sanitizer has nothing else to watch.
"""

import ctypes
import pickle
import sys
from typing import Any

SIMPLE = {
    kind._type_: kind
    for kind in (ctypes.c_bool, ctypes.c_int, ctypes.c_uint, ctypes.c_int64, ctypes.c_uint64, ctypes.c_float)
}
SIMPLE |= {kind._type_: kind for kind in (ctypes.c_double, ctypes.c_void_p)}
Layout = tuple  # of (name, letter of a simple type or the layout of a structure)


class Memory:
    """Copies of the caller's tensors, each in an allocation of its own, so that every access beyond one is noticed."""

    def __init__(self, contents: dict[int, bytes]) -> None:
        self._contents = contents
        self._libc = ctypes.CDLL(None)
        self._libc.malloc.restype = ctypes.c_void_p
        self._allocated, self._moved = [], {}
        for address, content in contents.items():
            beyond = address % 16  # so that what was misaligned stays it
            allocated = self._libc.malloc(ctypes.c_size_t(beyond + len(content)))
            ctypes.memmove(allocated + beyond, content, len(content))
            self._allocated.append(allocated)
            self._moved[address] = allocated + beyond

    def moved(self, address: int | None) -> int | None:
        if address is not None and address not in self._moved:
            raise LookupError("a structure points to no tensor in its attribute `tensors`")
        return None if address is None else self._moved[address]

    def free(self) -> dict[int, bytes]:
        contents = {a: ctypes.string_at(self._moved[a], len(content)) for a, content in self._contents.items()}
        for allocated in self._allocated:
            self._libc.free(ctypes.c_void_p(allocated))
        return contents


def structure(layout: Layout) -> type[ctypes.Structure]:
    fields = [(name, SIMPLE[kind] if isinstance(kind, str) else structure(kind)) for name, kind in layout]
    return type("Structure", (ctypes.Structure,), {"_fields_": fields})


def move_pointers(passed: ctypes.Structure, layout: Layout, memory: Memory) -> None:
    for name, kind in layout:
        if kind == ctypes.c_void_p._type_:
            setattr(passed, name, memory.moved(getattr(passed, name)))
        elif not isinstance(kind, str):
            move_pointers(getattr(passed, name), kind, memory)


def argument(sent: tuple[Any, ...], memory: Memory) -> Any:
    match sent:
        case ("pointer", address):
            return ctypes.c_void_p(memory.moved(address))
        case ("structure", layout, content, by_reference):
            passed = structure(layout).from_buffer_copy(content)
            move_pointers(passed, layout, memory)
            return ctypes.byref(passed) if by_reference else passed
        case (kind, value):
            return SIMPLE[kind](value)


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    library.simt_error.restype = ctypes.c_char_p
    while True:
        try:
            symbol, seed, arguments, contents = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        memory = Memory(contents)
        library.simt_seed(ctypes.c_uint(seed))
        try:
            failed = library[symbol](*(argument(sent, memory) for sent in arguments), None)
            reply = library.simt_error().decode() if failed else "", memory.free()
        except LookupError as error:
            reply = str(error), memory.free()
        pickle.dump(reply, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
