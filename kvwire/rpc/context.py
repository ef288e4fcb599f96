"""The type of a call's context; grpc's stubs make it generic, grpc itself does not."""

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    Context = grpc.aio.ServicerContext
    ServerInterceptor = grpc.aio.ServerInterceptor
