"""A clock that the test holds."""


class Clock:
    """Stands still until it is moved; not at 0, where it would hide what starts from 0 by mistake."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s
