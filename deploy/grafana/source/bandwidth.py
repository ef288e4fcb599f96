"""How many bytes go from sharer to receiver, and what compression saves."""

from deploy.grafana.source.panels import CODEC, METHOD, Above, Query, Told, board, graph, limited, row, tile
from deploy.grafana.source.queries import or_zero, per_second, ratio

_SENT = 'method=~"$method", codec=~"$codec"'
_CACHES = f'codec!="", {_SENT}'  # what method text sends has no codec and no values
_FP16_BITS = 16


def _bytes(counter: str, by: str = "", where: str = _SENT) -> str:
    return per_second("kvwire_wire_bytes_total", by, f'counter="{counter}", {where}')


def _values(by: str = "") -> str:
    return per_second("kvwire_wire_values_total", by, _CACHES)


def _bits(by: str = "") -> str:
    return ratio(f"8 * {_bytes('payload', by, _CACHES)}", _values(by))


def _times_smaller(by: str = "") -> str:
    return ratio(f"{_FP16_BITS} / 8 * {_values(by)}", _bytes("payload", by, _CACHES))


def _overhead(by: str = "") -> str:
    return f"{ratio(_bytes('grpc', by, _CACHES), _bytes('payload', by, _CACHES))} - 1"


_CONTEXTS = "kvwire_contexts_total"
_PAYLOAD = _bytes("payload", where='method=~"$method"')
_ANSWERS = per_second("kvwire_answers_total", where='path=~"$method"')
# Bytes are labelled with the method that made the answer, which answers call their path.
_PAYLOAD_BY_PATH = f"""sum by (path) (label_replace({
    _bytes("payload", "method", 'method=~"$method"')
}, "path", "$1", "method", "(.*)"))"""
_ANSWERS_BY_PATH = per_second("kvwire_answers_total", "path", 'path=~"$method"')
_BITS_TOLD = "Payload bits for each key or value number before pruning and compression; fp16 is 16"

DASHBOARD = board(
    "bandwidth",
    "kvwire: bandwidth and compression",
    "How many bytes go from sharer to receiver, and what does compression save?",
    (METHOD, CODEC),
    (
        tile(
            Told("Payload", "Bytes of frames and relayed text received from sharers, per second.", "Bps"),
            _bytes("payload"),
        ),
        tile(
            Told("gRPC messages", "The same as serialized messages, with requests and reports.", "Bps"),
            _bytes("grpc"),
        ),
        tile(
            Told("Payload per answer", "Payload bytes over answers; those that send none count too.", "bytes"),
            ratio(_PAYLOAD, _ANSWERS),
        ),
        tile(
            Told("Bits per value", f"{_BITS_TOLD}. Red: a cache takes more than it would in fp16.", "suffix:bit"),
            _bits(),
            Above(_FP16_BITS + 0.5, "red"),  # headers weigh too
        ).decimals(2),
        tile(
            Told("Times smaller than fp16", "16 bits over the bits per value.", "suffix:x"), _times_smaller()
        ).decimals(2),
        tile(
            Told(
                "Overhead of gRPC",
                "What messages add to their payload. Orange, above 5 %: contexts are so short that envelopes weigh.",
                "percentunit",
            ),
            _overhead(),
            Above(0.05, "orange"),
        ).decimals(2),
        row("Bandwidth"),
        graph(
            Told(
                "Bytes between sharer and receiver",
                "By counter: payload, gRPC messages, and the socket's own count where a request was alone on it.",
                "Bps",
            ),
            Query(per_second("kvwire_wire_bytes_total", "counter", _SENT), "{{counter}}"),
        ),
        graph(
            Told("Payload by method and codec", "Which answers the bytes were for; text has no codec.", "Bps"),
            Query(_bytes("payload", "method, codec"), "{{method}} {{codec}}"),
        ),
        graph(
            Told("Payload per answer, by method", "Bytes each answer took, by the method that made it.", "bytes"),
            Query(ratio(_PAYLOAD_BY_PATH, _ANSWERS_BY_PATH), "{{path}}"),
        ),
        graph(
            Told(
                "Streamed by the sharer",
                "Frame bytes by codec, as the sharer counts them; streams that broke are not.",
                "Bps",
            ),
            Query(per_second("kvwire_shared_bytes_total", "codec", 'codec=~"$codec"'), "{{codec}}"),
        ),
        row("Compression"),
        limited(
            graph(
                Told("Bits per value, by codec", f"{_BITS_TOLD}, which is the dashed line.", "suffix:bit"),
                Query(_bits("codec"), "{{codec}}"),
            ),
            Above(_FP16_BITS, "red"),
        ).span(8),
        graph(
            Told("Times smaller than fp16, by codec", "16 bits over the bits per value.", "suffix:x"),
            Query(_times_smaller("codec"), "{{codec}}"),
        ).span(8),
        graph(
            Told("Overhead of gRPC, by method", "What messages add to their payload.", "percentunit"),
            Query(_overhead("method"), "{{method}}"),
        ).span(8),
        row("Reuse"),
        graph(
            Told(
                "Contexts asked for, by what was there",
                "Per second, at sharers: nothing, its layers, its frames as sent before, or all of it placed at the "
                "receiver.",
                "suffix:ctx/s",
            ),
            Query(per_second(_CONTEXTS, "known"), "{{known}}"),
        ).span(8),
        graph(
            Told(
                "Contexts that were there",
                "The share of those that no sharer had to read. It falls where questions on one context go to many "
                "addresses, or KVWIRE_REUSE_BYTES holds too few.",
                "percentunit",
            ),
            Query(ratio(or_zero(per_second(_CONTEXTS, where='known!="nothing"')), per_second(_CONTEXTS)), "there"),
        ).span(8),
        graph(
            Told("Bytes not sent", "Because receivers held the caches already, per second.", "Bps"),
            Query(or_zero(per_second("kvwire_held_bytes_total", where=_SENT)), "held"),
        ).span(8),
    ),
)
