// What the adapter uses of kafkajs 2.2.4 below its public API: connections, metadata, and calls to one broker. The version
// is pinned; docs/decisions/0009-kafkajs-below-its-api.md says why.

declare module "kafkajs/src/cluster/index.js" {
  import type { Socket } from "node:net";

  export interface WireRequest {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    encode(): Promise<WireEncoder>;
  }
  /** As kafkajs' own encoder: `buffer` is what is sent. */
  export interface WireEncoder {
    readonly buf: Buffer;
    readonly buffer: Buffer;
    size(): number;
  }
  export interface WireExchange<Answer> {
    readonly request: WireRequest;
    readonly response: {
      decode(bytes: Buffer): Promise<Answer & { readonly clientSideThrottleTime: number }>;
      parse(answer: Answer): Promise<Answer>;
    };
    readonly requestTimeout?: number;
    readonly logResponseError?: boolean;
  }
  export interface PartitionOffsets {
    readonly topic: string;
    readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
  }
  export interface GroupMember {
    readonly memberId: string;
    readonly memberMetadata: Buffer;
  }
  export interface JoinedGroup {
    readonly generationId: number;
    readonly leaderId: string;
    readonly memberId: string;
    readonly members: readonly GroupMember[];
  }
  export interface Broker {
    readonly nodeId: number;
    /** What it speaks, by the number of a request. */
    readonly versions: Readonly<Record<number, { readonly maxVersion: number }>> | null;
    readonly connectionPool: { send<Answer>(exchange: WireExchange<Answer>): Promise<Answer> };
    isConnected(): boolean;
    listOffsets(request: {
      readonly replicaId: number;
      readonly isolationLevel: number;
      readonly topics: readonly {
        readonly topic: string;
        readonly partitions: readonly { readonly partition: number; readonly timestamp: number }[];
      }[];
    }): Promise<{ readonly responses: readonly PartitionOffsets[] }>;
    findGroupCoordinator(of: {
      readonly groupId: string;
      readonly coordinatorType: number;
    }): Promise<{ readonly coordinator: { readonly nodeId: number } }>;
    initProducerId(request: {
      readonly transactionalId: string;
      readonly transactionTimeout: number;
    }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
    addPartitionsToTxn(request: {
      readonly transactionalId: string;
      readonly producerId: string;
      readonly producerEpoch: number;
      readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
    }): Promise<unknown>;
    endTxn(request: {
      readonly transactionalId: string;
      readonly producerId: string;
      readonly producerEpoch: number;
      readonly transactionResult: boolean;
    }): Promise<unknown>;
    deleteRecords(request: {
      readonly topics: readonly {
        readonly topic: string;
        readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
      }[];
    }): Promise<unknown>;
    syncGroup(request: {
      readonly groupId: string;
      readonly generationId: number;
      readonly memberId: string;
      readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[];
    }): Promise<{ readonly memberAssignment: Buffer }>;
    heartbeat(request: {
      readonly groupId: string;
      readonly groupGenerationId: number;
      readonly memberId: string;
    }): Promise<unknown>;
    leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
    offsetCommit(request: {
      readonly groupId: string;
      readonly groupGenerationId: number;
      readonly memberId: string;
      readonly topics: readonly PartitionOffsets[];
    }): Promise<unknown>;
  }
  export interface ClusterOptions {
    readonly logger: unknown;
    readonly socketFactory: (order: {
      readonly host: string;
      readonly port: number;
      readonly onConnect: () => void;
    }) => Socket;
    readonly brokers: readonly string[];
    readonly ssl?: object | undefined;
    readonly sasl?: object | undefined;
    readonly clientId: string;
    readonly connectionTimeout: number;
    readonly authenticationTimeout: number;
    readonly reauthenticationThreshold: number;
    readonly requestTimeout: number;
    readonly enforceRequestTimeout: boolean;
    readonly metadataMaxAge: number;
    readonly retry: { readonly initialRetryTime: number; readonly maxRetryTime: number; readonly retries: number };
    readonly allowAutoTopicCreation: boolean;
    readonly isolationLevel: number;
  }
  export interface PartitionMetadata {
    readonly partitionId: number;
    readonly leader: number;
    readonly partitionErrorCode: number;
  }
  export default class Cluster {
    constructor(options: ClusterOptions);
    targetTopics: Set<string>;
    connect(): Promise<void>;
    disconnect(): Promise<void>;
    refreshMetadata(): Promise<void>;
    addTargetTopic(topic: string): Promise<void>;
    findBroker(node: { readonly nodeId: number }): Promise<Broker>;
    findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[];
    readonly brokerPool: { findConnectedBroker(): Promise<Broker> };
  }
}

declare module "kafkajs/src/network/requestQueue/index.js" {
  /** The requests of one connection. */
  export default class RequestQueue {
    /** Requests that wait to be sent. */
    readonly pending: readonly unknown[];
    /** Until when the broker wants none, in ms since the epoch. */
    readonly throttledUntil: number;
    scheduleCheckPendingRequests(): void;
  }
}

declare module "kafkajs/src/loggers/index.js" {
  const loggers: {
    createLogger(options: {
      readonly level: number;
      readonly logCreator: (level: number) => (entry: unknown) => void;
    }): unknown;
  };
  export default loggers;
}

declare module "kafkajs/src/protocol/requests/joinGroup/v5/request.js" {
  import type { WireRequest } from "kafkajs/src/cluster/index.js";

  /** `broker.joinGroup` has no place for the identity of a static member. */
  export default function joinGroup(request: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly groupInstanceId: string;
    readonly protocolType: "consumer";
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): WireRequest;
}

declare module "kafkajs/src/protocol/requests/joinGroup/v5/response.js" {
  import type { JoinedGroup, WireExchange } from "kafkajs/src/cluster/index.js";

  const response: WireExchange<JoinedGroup>["response"];
  export default response;
}

declare module "kafkajs/src/protocol/error.js" {
  const errors: {
    /** The error of a number in a response, with the name of the protocol as `type`. */
    createErrorFromCode(code: number): Error & { readonly type: string; readonly retriable: boolean };
  };
  export default errors;
}
