"""What all drawings of panels share: the frame with its title, the time axis, colours."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from deploy.grafana.preview.prometheus import Span

# Told apart by people with any colour vision: Okabe and Ito's, then Paul Tol's muted ones.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#b57a00"),
    *("#332288", "#882255", "#117733", "#999933", "#aa4499", "#666666"),
)
NAMED = {"green": "#2b8a3e", "orange": "#d9730d", "red": "#c92a2a", "blue": "#1864ab", "transparent": "#222"}
STYLE = """
svg{font:12px "DejaVu Sans",sans-serif}text{fill:#222}.small{font-size:10.5px;fill:#555}
.title{font-weight:600;font-size:12.5px}
.box{fill:#fff;stroke:#d5d8dd}.grid{stroke:#e6e8eb}.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
.none{fill:#999;font-size:14px}.row{font-weight:600;font-size:15px}.head{font-weight:600;font-size:22px}
.note{fill:#7a4a00;font-weight:600;font-size:13px}.banner{fill:#fff4dd;stroke:#e0b050}
"""
_TICK_S = 30


@dataclass(frozen=True)
class Named:
    """A series and its name in the legend."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Area:
    """Where curves are, in pixels of the panel."""

    left: float
    top: float
    right: float
    bottom: float
    span: Span

    def x(self, at_s: float) -> float:
        """The pixel of a time."""
        return self.left + (at_s - self.span.start_s) / (self.span.end_s - self.span.start_s) * (self.right - self.left)

    def times(self) -> list[str]:
        """Lines and labels of the time since the load began."""
        parts = []
        for after_s in range(0, int(self.span.end_s - self.span.start_s) + 1, _TICK_S):
            at = self.x(self.span.start_s + after_s)
            parts.append(f'<path class="grid" d="M{at:.1f},{self.top}V{self.bottom}"/>')
            parts.append(text(at, self.bottom + 17, f"{after_s // 60}:{after_s % 60:02}", "small", "middle"))
        return parts


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Words at a place."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def frame(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    """A panel's box and title around its parts."""
    box = f'<rect class="box" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="3"/>'
    return f"{box}{text(10, 18, title, 'title')}{''.join(parts)}"


def path(points: Sequence[tuple[float, float]]) -> str:
    """A path's data through points in pixels."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
