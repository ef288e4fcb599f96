"""kvwire's ground floor: errors, configuration, telemetry, security, the client, the model store, the engine.

May import: third-party libraries and itself. Nothing here knows codecs, fusers or services, except ``kvwire.cli``,
the roof, which starts them all.

Others use what ``__init__.pyi`` lists: the client, the values it takes and gives, and the errors. Each is imported when
it is first named, so that ``import kvwire`` costs next to nothing. docs/api.md says what they may count on.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
