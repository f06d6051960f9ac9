"""Sends payments as the documentation of confluent-kafka says, one JSON object a line of standard input."""

import argparse
import json
import sys

from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

parser = argparse.ArgumentParser()
parser.add_argument("--bootstrap-servers", required=True)
parser.add_argument("--registry", required=True)
parser.add_argument("--topic", required=True)
parser.add_argument("--schema", required=True, help="file of an Avro schema; the serializer registers it")
options = parser.parse_args()

with open(options.schema) as file:
    serializer = AvroSerializer(SchemaRegistryClient({"url": options.registry}), file.read())
context = SerializationContext(options.topic, MessageField.VALUE)

# librdkafka hashes keys by CRC-32 unless told otherwise; Java, and so everyone else, by murmur2.
producer = Producer({"bootstrap.servers": options.bootstrap_servers, "partitioner": "murmur2_random", "acks": "all"})
refused = []


def delivered(error, _message):
    if error is not None:
        refused.append(str(error))


for line in sys.stdin:
    payment = json.loads(line)
    producer.produce(
        options.topic,
        key=payment["card_id"],
        value=serializer(payment, context),
        timestamp=payment["ts"],
        on_delivery=delivered,
    )
    producer.poll(0)
left = producer.flush(30)
if refused or left:
    sys.exit(f"{len(refused)} refused, {left} not sent: {refused[:1]}")
