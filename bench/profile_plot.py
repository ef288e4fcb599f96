"""A sensitivity profile, drawn: divergence by layer, a panel for keys and one for values, a curve per codec."""

from codec.allocate.profile import Profile
from experiments.report.axis import axis_for, number_text
from experiments.report.figures import Figure
from experiments.report.panel import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, Point, Series, draw, legend

_LABELS = ("KL if this part alone is coded, nats per token", "layer")


def plot(profile: Profile) -> str:
    """One standalone SVG; parts without any divergence are not in it."""
    numbers = [nats for halves in profile.divergences for half in halves for nats in half]
    x = axis_for(range(len(profile.divergences)), LEFT, WIDTH - RIGHT, log=False, text=number_text)
    y = axis_for(numbers, HEIGHT - BOTTOM, TOP, log=True, text=number_text)
    drawn = (
        draw(Panel(f"{profile.model}, {what}", _series(profile, half), (), ()), x, y, *_LABELS)
        for half, what in enumerate(("keys", "values"))
    )
    note = f"{profile.windows} texts, {profile.tokens} tokens coded, {profile.scored_tokens} scored"
    everything = Panel("", tuple(Series(name, style, ()) for style, name in enumerate(profile.codecs)), (), ())
    return Figure("codec-profile", "Sensitivity by layer", (*drawn, legend(everything, y, note))).file()


def _series(profile: Profile, half: int) -> tuple[Series, ...]:
    return tuple(Series(name, style, tuple(_points(profile, half, style))) for style, name in enumerate(profile.codecs))


def _points(profile: Profile, half: int, codec: int) -> list[Point]:
    found = [(layer, halves[half][codec]) for layer, halves in enumerate(profile.divergences)]
    return [
        Point(layer, nats, nats, nats, f"layer {layer}, {profile.codecs[codec]}: {number_text(nats)}")
        for layer, nats in found
        if nats > 0
    ]
