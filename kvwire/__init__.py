"""kvwire's ground floor: errors, configuration, telemetry, security, the client, the model store, the engine.

May import: third-party libraries and itself. Nothing here knows codecs, fusers or services, except ``kvwire.cli``,
the roof, which starts them all.
"""

__version__ = "0.1.0"
