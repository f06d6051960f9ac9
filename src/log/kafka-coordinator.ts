import type { Broker, JoinedGroup } from "kafkajs/src/cluster/index.js";
import joinGroup from "kafkajs/src/protocol/requests/joinGroup/v5/request.js";
import joinResponse from "kafkajs/src/protocol/requests/joinGroup/v5/response.js";

/** How a member asks for its place in the next round. */
export interface JoinRequest {
  readonly groupId: string;
  readonly sessionTimeout: number;
  readonly rebalanceTimeout: number;
  /** "" for one that has none yet. */
  readonly memberId: string;
  /** Of a static member: one that comes back under it takes its place over. */
  readonly groupInstanceId: string;
  readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
}

/** What a member asks of the coordinator of its group. */
export interface GroupCoordinator extends Pick<Broker, "syncGroup" | "heartbeat" | "offsetCommit" | "leaveGroup"> {
  joinGroup(request: JoinRequest): Promise<JoinedGroup>;
}

/** A broker as the coordinator of a group. kafkajs' own call to join has no place for a static member. */
export function coordinatorAt(broker: Broker): GroupCoordinator {
  return {
    joinGroup: (request) =>
      broker.connectionPool.send({
        request: joinGroup({ ...request, protocolType: "consumer" }),
        response: joinResponse,
        // The answer waits for the other members.
        requestTimeout: request.rebalanceTimeout + request.sessionTimeout,
        logResponseError: false,
      }),
    syncGroup: (request) => broker.syncGroup(request),
    heartbeat: (request) => broker.heartbeat(request),
    offsetCommit: (request) => broker.offsetCommit(request),
    leaveGroup: (request) => broker.leaveGroup(request),
  };
}
