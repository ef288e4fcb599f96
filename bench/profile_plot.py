"""A sensitivity profile, drawn as the reports of experiments draw it."""

from codec.allocate.profile import Profile
from experiments.report.sensitivity import Sensitivity, sensitivity_figure, short_codecs


def plot(profile: Profile) -> str:
    """One standalone SVG; parts without any divergence are not in it."""
    note = f"{profile.windows} texts, {profile.tokens} tokens coded, {profile.scored_tokens} scored."
    codecs = short_codecs(profile.codecs)
    return sensitivity_figure(Sensitivity(profile.model, "codec", codecs, profile.divergences, note)).file()
