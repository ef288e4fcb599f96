"""Who may call a service, what, and how much of it: the callers' file, the door, and what each caller has used.

Knows no gRPC and no models. A new limit is a field of :class:`~kvwire.callers.caller.Allowance`, a line in
``used.py`` and one in docs/operations.md.
"""
