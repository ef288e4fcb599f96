"""A link between two services as a part that can be started: bytes per second, delay and loss of one's choice.

May import: kvwire.errors, kvwire.launched. shape.py says what a link is, line.py when bytes reach its far end,
flight.py holds them until then, relay.py moves them between sockets; kernel.py has the kernel do the same.
"""
