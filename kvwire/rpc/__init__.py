"""What both services and the client share of gRPC: conversion, security, interceptors, and running a server.

May import: kvwire, grpc, and the generated ``kvwire.v1``. The ``*serde.py`` alone turn protobuf into values and back.
"""
