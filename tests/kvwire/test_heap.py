"""What of the memory is in use."""

import ctypes

from prometheus_client import CollectorRegistry

from kvwire.heap import HeapCollector, heap_bytes

_SMALL, _LARGE = 1 << 10, 1 << 26


def scraped():
    registry = CollectorRegistry()
    registry.register(HeapCollector())
    return registry.get_sample_value("kvwire_heap_bytes"), registry.get_sample_value("kvwire_python_blocks")


def test_what_is_given_out_is_counted_until_it_is_given_back():
    """A large piece, in a mapping of its own, and many small ones; nothing stays when they are freed."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    for size, count in ((_LARGE, 1), (_SMALL, 20_000)):
        before = heap_bytes()
        pieces = [libc.malloc(ctypes.c_size_t(size)) for _ in range(count)]
        taken = heap_bytes() - before
        for piece in pieces:
            libc.free(piece)
        left = heap_bytes() - before
        assert size * count <= taken < 1.5 * size * count
        assert left < 0.02 * taken


def test_a_scrape_tells_both_heaps():
    """Bytes of the C heap, blocks of Python's."""
    before, blocks_before = scraped()
    kept = [object() for _ in range(100_000)]
    piece = ctypes.create_string_buffer(_LARGE)
    after, blocks_after = scraped()
    assert after - before >= len(piece)
    assert blocks_after - blocks_before >= len(kept)
