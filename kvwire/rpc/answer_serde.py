"""Answers and reports: protobuf to values and back."""

from kvwire.report import ByteCounts, ContinuationScore, Report, Scored, Spared, StageTiming, Token, TokenCounts
from kvwire.rpc.enums import METHOD_NUMBERS, METHODS, SIDE_NUMBERS, SIDES, known
from kvwire.v1 import exchange_pb2, model_service_pb2


def token_from_proto(message: model_service_pb2.Token) -> Token:
    """A generated token."""
    return Token(message.id, message.text, message.logprob)


def token_to_proto(token: Token) -> model_service_pb2.Token:
    """A generated token."""
    return model_service_pb2.Token(id=token.id, text=token.text, logprob=token.logprob)


def continuation_score_from_proto(message: model_service_pb2.ContinuationScore) -> ContinuationScore:
    """The score of one continuation."""
    return ContinuationScore(
        index=message.index,
        token_ids=tuple(message.token_ids),
        token_logprobs=tuple(message.token_logprobs),
        characters=message.characters,
        kl_nats=tuple(message.kl_nats),
        same_top1=tuple(message.same_top1),
    )


def continuation_score_to_proto(score: ContinuationScore) -> model_service_pb2.ContinuationScore:
    """The score of one continuation."""
    return model_service_pb2.ContinuationScore(
        index=score.index,
        token_ids=score.token_ids,
        token_logprobs=score.token_logprobs,
        characters=score.characters,
        kl_nats=score.kl_nats,
        same_top1=score.same_top1,
    )


def generation_from_proto(message: model_service_pb2.GenerateResponse) -> Token | Report:
    """What comes of a generation: a token, or the report at its end."""
    return token_from_proto(message.token) if message.HasField("token") else report_from_proto(message.report)


def scoring_from_proto(message: model_service_pb2.ScoreResponse) -> Token | ContinuationScore | Report:
    """What comes of a scoring: the first token, a continuation's score, or the report at its end."""
    match message.WhichOneof("event"):
        case "first_token":
            return token_from_proto(message.first_token)
        case "score":
            return continuation_score_from_proto(message.score)
        case _:
            return report_from_proto(message.report)


def scored_from_proto(message: model_service_pb2.Scored) -> Scored:
    """A whole scoring."""
    return Scored(
        token_from_proto(message.first_token),
        tuple(continuation_score_from_proto(score) for score in message.scores),
        report_from_proto(message.report),
    )


def scored_to_proto(scored: Scored) -> model_service_pb2.Scored:
    """A whole scoring."""
    return model_service_pb2.Scored(
        first_token=token_to_proto(scored.first_token),
        scores=[continuation_score_to_proto(score) for score in scored.scores],
        report=report_to_proto(scored.report),
    )


def stages_from_proto(messages: "list[exchange_pb2.StageTiming]") -> tuple[StageTiming, ...]:
    """Stage durations."""
    return tuple(StageTiming(m.name, SIDES.get(m.side, "unknown"), m.seconds) for m in messages)


def stages_to_proto(stages: tuple[StageTiming, ...]) -> list[exchange_pb2.StageTiming]:
    """Stage durations."""
    return [exchange_pb2.StageTiming(name=s.name, side=SIDE_NUMBERS[s.side], seconds=s.seconds) for s in stages]


def report_from_proto(message: exchange_pb2.Report) -> Report:
    """What happened to one request."""
    tokens, moved = message.tokens, message.bytes
    return Report(
        request_id=message.request_id,
        method=known(METHODS, message.method, "method"),
        path=known(METHODS, message.path, "path"),
        reason=message.reason,
        codec=message.codec,
        fuser=message.fuser,
        tokens=TokenCounts(tokens.head, tokens.context, tokens.prompt, tokens.generated, tokens.relayed, tokens.slots),
        bytes=ByteCounts(
            payload_bytes=moved.payload_bytes,
            grpc_bytes=moved.grpc_bytes,
            socket_sent_bytes=moved.socket_sent_bytes,
            socket_received_bytes=moved.socket_received_bytes,
            socket_isolated=moved.socket_isolated,
            values=moved.values,
            formula_bytes=moved.formula_bytes,
            spared=tuple(Spared(one.what, one.values, one.bytes) for one in moved.spared),
        )
        if message.HasField("bytes")
        else None,
        stages=stages_from_proto(list(message.stages)),
        sharer_model=message.sharer_model,
        answering_model=message.answering_model,
        tries=message.tries,
        sharer_addresses=tuple(message.sharer_addresses),
        layers_needed=message.layers_needed,
        layers_came=message.layers_came,
    )


def report_to_proto(report: Report) -> exchange_pb2.Report:
    """What happened to one request."""
    return exchange_pb2.Report(
        request_id=report.request_id,
        method=METHOD_NUMBERS[report.method],
        path=METHOD_NUMBERS[report.path],
        reason=report.reason,
        codec=report.codec,
        fuser=report.fuser,
        tokens=exchange_pb2.TokenCounts(**vars(report.tokens)),
        bytes=_bytes_to_proto(report.bytes) if report.bytes is not None else None,
        stages=stages_to_proto(report.stages),
        sharer_model=report.sharer_model,
        answering_model=report.answering_model,
        tries=report.tries,
        sharer_addresses=report.sharer_addresses,
        layers_needed=report.layers_needed,
        layers_came=report.layers_came,
    )


def _bytes_to_proto(moved: ByteCounts) -> exchange_pb2.ByteCounts:
    spared = [exchange_pb2.Spared(**vars(one)) for one in moved.spared]
    return exchange_pb2.ByteCounts(**(vars(moved) | {"spared": spared}))
