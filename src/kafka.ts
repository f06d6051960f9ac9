// Apache Kafka as the log of an application that is started from code; `kappa run` needs none of it.

export type { GroupOptions } from "./engine/group-membership.ts";
export { groupMembership } from "./engine/group-membership.ts";
export { KafkaLog } from "./log/kafka-log.ts";
export type { KafkaCompression, KafkaOptions } from "./log/kafka-options.ts";
