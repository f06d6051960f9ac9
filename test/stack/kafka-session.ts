import { randomUUID } from "node:crypto";
import { Kafka, type KafkaConfig, logLevel } from "kafkajs";

/** Talks to a Kafka as any client would, over the library alone: nothing of ours is between a test and the broker. */
export class KafkaSession {
  readonly #kafka: Kafka;

  constructor(config: KafkaConfig) {
    this.#kafka = new Kafka({ logLevel: logLevel.NOTHING, ...config });
  }

  /** Makes a topic of one partition with these records, and gives its name. */
  async filledTopic(values: readonly string[]): Promise<string> {
    const topic = `topic-${randomUUID()}`;
    const admin = this.#kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 1 }], waitForLeaders: true });
    await admin.disconnect();
    await this.send(topic, values);
    return topic;
  }

  async send(topic: string, values: readonly string[]): Promise<void> {
    const producer = this.#kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: values.map((value) => ({ value })) });
    await producer.disconnect();
  }

  /** The values of a topic of one partition, from its start to where it ends now. */
  async values(topic: string): Promise<string[]> {
    const end = await this.#end(topic);
    const consumer = this.#kafka.consumer({ groupId: `reader-${randomUUID()}` });
    const values: string[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      // The library starts again by itself after what passes, such as a group whose coordinator still loads.
      consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error));
      if (end === 0) return resolve();
      const eachMessage = async ({ message }: { message: { value: Buffer | null; offset: string } }) => {
        values.push(message.value?.toString() ?? "");
        if (Number(message.offset) + 1 >= end) resolve();
      };
      consumer.run({ eachMessage }).catch(reject);
    });
    await consumer.disconnect();
    return values;
  }

  async #end(topic: string): Promise<number> {
    const admin = this.#kafka.admin();
    await admin.connect();
    const [partition] = await admin.fetchTopicOffsets(topic);
    await admin.disconnect();
    return Number(partition?.high);
  }
}
