"""Prints the values of a topic, one JSON object a line, as AvroDeserializer reads them with the writer's schema."""

import argparse
import datetime
import json
import sys

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

parser = argparse.ArgumentParser()
parser.add_argument("--bootstrap-servers", required=True)
parser.add_argument("--registry", required=True)
parser.add_argument("--topic", required=True)
parser.add_argument("--count", required=True, type=int)
options = parser.parse_args()

deserializer = AvroDeserializer(SchemaRegistryClient({"url": options.registry}))
context = SerializationContext(options.topic, MessageField.VALUE)
consumer = Consumer(
    {
        "bootstrap.servers": options.bootstrap_servers,
        "group.id": f"{options.topic}-interop",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
)
consumer.subscribe([options.topic])


def plain(value):
    # A logical type comes as what Python has for it.
    if isinstance(value, datetime.datetime):
        return round(value.timestamp() * 1000)
    raise TypeError(type(value))


for _ in range(options.count):
    message = consumer.poll(30)
    if message is None:
        sys.exit("no record for 30 s")
    if message.error():
        sys.exit(str(message.error()))
    record = {"key": message.key().decode(), "value": deserializer(message.value(), context)}
    print(json.dumps(record, default=plain))
consumer.close()
