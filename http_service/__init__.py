"""The HTTP front door: what OpenAI's clients and load generators send is asked of a receiver.

May import: of kvwire the client, its values, and how a process is configured and started; starlette, uvicorn, pydantic.
No gRPC and no models. bodies.py reads what is asked, unsupported.py refuses what is not offered. answer.py asks the
receiver, until_stop.py cuts at a stop text, chat.py and completions.py are the two forms of an answer. failures.py has
the one table of errors. posts.py, responses.py and middleware.py speak HTTP, app.py has the paths, server.py serves.
"""
