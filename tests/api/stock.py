"""What gRPC's stock libraries see of a daemon. Arguments: address, file of a submitter's token, file of a reader's token.

Each check prints its name when it holds; a traceback ends the program.
"""
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status


def shown(token_file):
    return [("authorization", "Bearer " + open(token_file).read().strip())]


address, submitter, reader = sys.argv[1], shown(sys.argv[2]), shown(sys.argv[3])


class Shown(grpc.StreamStreamClientInterceptor):
    """Shows the token with the calls of a library that has no place for it."""

    def intercept_stream_stream(self, continuation, details, requests):
        class Details(grpc.ClientCallDetails):
            method, timeout, credentials = details.method, details.timeout, details.credentials
            wait_for_ready, compression = details.wait_for_ready, details.compression
            metadata = list(details.metadata or []) + reader

        return continuation(Details(), requests)


def refusal(call):
    """The standard details of the refusal that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        assert status.code == error.code().value[0], (status, error)
        details = {}
        for packed in status.details:
            for kind in ("ErrorInfo", "BadRequest", "RetryInfo", "Help"):
                message = getattr(error_details_pb2, kind)()
                if packed.Unpack(message):
                    details[kind] = message
        return error, details
    raise AssertionError("it was not refused")


channel = grpc.insecure_channel(address)

# Health, without a token.
health = health_pb2_grpc.HealthStub(channel)
for service in ("", "rrm.v1.Jobs"):
    answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING, answer
print("health")

# As grpcurl does it: which services, what they take, and a call made of that alone.
database = ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, Shown()))
services = set(database.get_services())
assert {"rrm.v1.Jobs", "rrm.v1.Artifacts", "rrm.v1.Workers", "rrm.v1.Access", "grpc.health.v1.Health"} <= services, services
pool = descriptor_pool.DescriptorPool(database)
method = pool.FindServiceByName("rrm.v1.Jobs").FindMethodByName("List")
assert method.input_type.fields_by_name["limit"].type == method.input_type.fields_by_name["limit"].TYPE_UINT32
print("reflection")


def described(service, name):
    """A call by its descriptor: the message to ask with, and the function that asks."""
    method = pool.FindServiceByName(service).FindMethodByName(name)
    question, answer = (message_factory.GetMessageClass(kind) for kind in (method.input_type, method.output_type))
    call = channel.unary_unary(f"/{service}/{name}", question.SerializeToString, answer.FromString)
    return question, lambda message, who: call(message, metadata=who, timeout=30)


list_request, list_jobs = described("rrm.v1.Jobs", "List")
assert len(list_jobs(list_request(limit=1), reader).jobs) == 1, "a plan was submitted before"
about_request, about = described("rrm.v1.Access", "About")
assert about(about_request(), reader).user == "ada"
print("call by descriptor")

# Refusals that stock libraries decode.
submit_request, submit = described("rrm.v1.Jobs", "Submit")
error, details = refusal(lambda: submit(submit_request(request_id="x"), submitter))
assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
faults = {fault.field: fault.description for fault in details["BadRequest"].field_violations}
assert "8 to 64 letters" in faults["request_id"] and "must be present" in faults["plan"], faults
assert details["ErrorInfo"].domain == "rrm" and details["ErrorInfo"].reason == "INVALID", details
assert "correct the named fields" in details["Help"].links[0].description, details
print("faults")

plan = submit_request().plan.__class__(name="x")
for number in range(3000):
    plan.jobs.add(name=f"job number {number}")
error, details = refusal(lambda: submit(submit_request(request_id="too-many-faults", plan=plan), submitter))
assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
assert "more faults" in details["BadRequest"].field_violations[-1].description, details
print("thousands of faults")

error, details = refusal(lambda: submit(submit_request(request_id="abcdefgh"), reader))
assert error.code() == grpc.StatusCode.PERMISSION_DENIED and details["ErrorInfo"].reason == "PERMISSION_DENIED", error
get_request, get = described("rrm.v1.Jobs", "Get")
error, details = refusal(lambda: get(get_request(id=999999), reader))
assert error.code() == grpc.StatusCode.NOT_FOUND and "999999" in details["ErrorInfo"].metadata["what"], error
for nobody in ([], [("authorization", "Bearer nobody-knows-this-token")]):
    error, details = refusal(lambda: get(get_request(id=1), nobody))
    assert error.code() == grpc.StatusCode.UNAUTHENTICATED and list(details) == ["ErrorInfo", "Help"], error
error, details = refusal(lambda: get(get_request(id=1), reader + [("rrm-version", "0.0.0")]))
assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and details["ErrorInfo"].reason == "VERSION", error
print("refusals")
