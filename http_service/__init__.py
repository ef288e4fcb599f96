"""The HTTP front door: what OpenAI's clients and load generators send is asked of a receiver.

May import: of kvwire the client, its values, and how a process is configured and started; starlette, uvicorn, pydantic.
No gRPC and no models. bodies.py reads what is asked, unsupported.py refuses what is not offered. receiver.py is who is
asked, answer.py asks, until_stop.py cuts at a stop text. forms.py says what a form of an answer is, chat.py and
completions.py are the two there are, models.py is that of a model. failures.py has the one table of errors. posts.py
and responses.py speak HTTP, middleware.py and watched.py stand around every request. app.py has the paths, server.py
serves. A new parameter of OpenAI's goes into bodies.py or unsupported.py, a new path into app.py.
"""
