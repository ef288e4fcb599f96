"""Which of several addresses of a service is called, and which are left alone: for clients, and for receivers as such.

Knows neither gRPC nor models. A further way to choose goes to choice.py.
"""
