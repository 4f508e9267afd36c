"""The messages of the Open Inference Protocol's gRPC service, made from the table below at import.

The table has the field numbers of the published `open_inference_grpc.proto`; a test holds every one
against a client's own. Made here rather than generated, they fit whatever protobuf is installed.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE, SERVICE = "inference", "GRPCInferenceService"
FILE = "slipway/open_inference.proto"

_TENSOR_METADATA = "name:string=1 datatype:string=2 shape:int64*=3"
_TENSOR = "name:string=1 datatype:string=2 shape:int64*=3 parameters:InferParameter%=4 contents:InferTensorContents=5"
MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ModelReadyRequest": "name:string=1 version:string=2",
    "ModelReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "name:string=1 version:string=2 extensions:string*=3",
    "ModelMetadataRequest": "name:string=1 version:string=2",
    "ModelMetadataResponse": "name:string=1 versions:string*=2 platform:string=3 inputs:.TensorMetadata*=4 "
    "outputs:.TensorMetadata*=5",
    "ModelMetadataResponse.TensorMetadata": _TENSOR_METADATA,
    "InferParameter": "bool_param:bool|1 int64_param:int64|2 string_param:string|3 double_param:double|4 "
    "uint64_param:uint64|5",
    "InferTensorContents": "bool_contents:bool*=1 int_contents:int32*=2 int64_contents:int64*=3 "
    "uint_contents:uint32*=4 uint64_contents:uint64*=5 fp32_contents:float*=6 fp64_contents:double*=7 "
    "bytes_contents:bytes*=8",
    "ModelInferRequest": "model_name:string=1 model_version:string=2 id:string=3 parameters:InferParameter%=4 "
    "inputs:.InferInputTensor*=5 outputs:.InferRequestedOutputTensor*=6 raw_input_contents:bytes*=7",
    "ModelInferRequest.InferInputTensor": _TENSOR,
    "ModelInferRequest.InferRequestedOutputTensor": "name:string=1 parameters:InferParameter%=2",
    "ModelInferResponse": "model_name:string=1 model_version:string=2 id:string=3 parameters:InferParameter%=4 "
    "outputs:.InferOutputTensor*=5 raw_output_contents:bytes*=6",
    "ModelInferResponse.InferOutputTensor": _TENSOR,
}
"""Fields by message: `name:type=number`; `*` repeated, `%` a map by text, `|` one of several, `.` a message within."""

CALLS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")

_Field = descriptor_pb2.FieldDescriptorProto


def _add_field(message: Any, path: str, written: str) -> None:
    name, _, rest = written.partition(":")
    kind = rest.rstrip("0123456789").rstrip("=|")
    field = message.field.add(name=name, number=int(rest.rpartition("|" if "|" in rest else "=")[2]))
    repeated, mapped = kind.endswith("*"), kind.endswith("%")
    field.label = _Field.LABEL_REPEATED if repeated or mapped else _Field.LABEL_OPTIONAL
    kind = kind.rstrip("*%")
    if mapped:
        entry = message.nested_type.add(name="".join(part.title() for part in name.split("_")) + "Entry")
        entry.options.map_entry = True
        _add_field(entry, path, "key:string=1")
        _add_field(entry, path, f"value:{kind}=2")
        kind = f".{entry.name}"
    if "|" in rest:
        field.oneof_index = 0
    if kind[0].isupper() or kind[0] == ".":
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{path}{kind}" if kind[0] == "." else f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto3")
    made: dict[str, Any] = {}
    for path, fields in MESSAGES.items():
        outer, _, name = path.rpartition(".")
        message = made[path] = (made[outer].nested_type if outer else file.message_type).add(name=name)
        if "|" in fields:
            message.oneof_decl.add(name="parameter_choice")
        for written in fields.split():
            _add_field(message, path, written)
    service = file.service.add(name=SERVICE)
    for call in CALLS:
        service.method.add(
            name=call, input_type=f".{PACKAGE}.{call}Request", output_type=f".{PACKAGE}.{call}Response"
        )
    return file


POOL = descriptor_pool.DescriptorPool()
"""Of its own, so that a client's file of the same messages may be loaded beside it."""

POOL.Add(_described())


def message(name: str) -> Any:
    """Return a message's class."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
