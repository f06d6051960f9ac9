import assert from "node:assert/strict";
import { test } from "vitest";
import { checkBrokers, checkGroup } from "../../src/cli/broker-checks.ts";
import { resolveConfig } from "../../src/cli/config.ts";
import type { CheckResult } from "../../src/cli/health-check.ts";
import { checkTopicPolicies, type TopicRole } from "../../src/cli/topic-policy-checks.ts";
import { KappaError } from "../../src/core/errors.ts";
import type { GroupDescription } from "../../src/log/kafka-cluster.ts";

/** What a topic has when `kappa` created it. */
const ours = {
  "cleanup.policy": "delete",
  "retention.ms": "-1",
  "retention.bytes": "-1",
  "message.timestamp.type": "CreateTime",
  "message.timestamp.after.max.ms": "9223372036854775807",
  "message.timestamp.before.max.ms": "9223372036854775807",
  "max.message.bytes": "1048588",
  "min.insync.replicas": "2",
  "unclean.leader.election.enable": "false",
};

const states = ({ ok, warning }: CheckResult): string => (ok ? (warning ? "warning" : "good") : "bad");

async function policies(
  role: TopicRole,
  config: Partial<Record<keyof typeof ours, string>>,
  copies = { replicas: 3, inSync: 3, brokers: 3 },
): Promise<readonly CheckResult[]> {
  const { brokers, ...replicas } = copies;
  return await checkTopicPolicies({
    cluster: {
      topicConfig: () => Promise.resolve(new Map(Object.entries({ ...ours, ...config }))),
      replicas: (names) => Promise.resolve(names.map((name) => ({ name, partitions: 2, ...replicas }))),
    },
    topics: new Map([["t", role]]),
    brokers,
    servers: "b:9092",
  });
}

test("topics as kappa creates them have nothing to mend", async () => {
  for (const role of ["stream", "table", "frames", "output"] as const) {
    const checks = await policies(role, role === "table" ? { "cleanup.policy": "compact" } : {});
    assert.deepEqual(checks.map(states), ["good"], JSON.stringify(checks));
  }
});

test("a policy that deletes history warns for inputs and outputs, and is a fault where state would be lost", async () => {
  const set = "kafka-configs.sh --bootstrap-server b:9092 --entity-type topics --entity-name t --alter --add-config";
  const policy = { "retention.ms": "604800000" };
  const [input, ...more] = await policies("stream", policy);
  assert.deepEqual(more, []);
  assert.deepEqual(input, {
    name: "retention of t",
    ok: true,
    warning: true,
    detail: "records go 7 d after the time of their event: history that is loaded now is gone at once",
    fix: `${set} retention.ms=-1`,
  });
  assert.deepEqual((await policies("frames", policy)).map(states), ["bad"]);
  assert.deepEqual((await policies("frames", { "retention.bytes": "1000" })).map(states), ["bad"]);
  assert.deepEqual((await policies("frames", { "cleanup.policy": "compact,delete" })).map(states), ["bad"]);
  assert.deepEqual((await policies("stream", { "cleanup.policy": "compact" })).map(states), ["warning"]);
});

test("brokers that refuse or replace the times of events are found, for topics that are written as a fault", async () => {
  const hour = { "message.timestamp.after.max.ms": "3600000" };
  const [output] = await policies("output", hour);
  assert.equal(output?.detail, "the brokers refuse records more than 1 h after their clock");
  assert.match(output?.fix ?? "", /message\.timestamp\.after\.max\.ms=9223372036854775807$/);
  assert.deepEqual(
    [output].map((each) => each && states(each)),
    ["bad"],
  );
  assert.deepEqual((await policies("stream", hour)).map(states), ["warning"]);
  assert.deepEqual((await policies("frames", { "message.timestamp.before.max.ms": "1000" })).map(states), ["bad"]);
  assert.deepEqual((await policies("output", { "message.timestamp.type": "LogAppendTime" })).map(states), ["warning"]);
});

test("batches that are too large for a topic are found where it is written", async () => {
  assert.deepEqual((await policies("output", { "max.message.bytes": "1000" })).map(states), ["bad"]);
  assert.deepEqual((await policies("stream", { "max.message.bytes": "1000" })).map(states), ["good"]);
});

test("copies: too few, behind, or not waited for are warnings; more demanded than there are is a fault", async () => {
  const one = { "min.insync.replicas": "1" };
  assert.deepEqual((await policies("output", one, { replicas: 1, inSync: 1, brokers: 1 })).map(states), ["good"]);
  assert.deepEqual((await policies("output", {}, { replicas: 1, inSync: 1, brokers: 3 })).map(states), ["bad"]);
  assert.deepEqual((await policies("output", one, { replicas: 1, inSync: 1, brokers: 3 })).map(states), ["warning"]);
  assert.deepEqual((await policies("output", one)).map(states), ["warning"]);
  const [behind] = await policies("output", {}, { replicas: 3, inSync: 2, brokers: 3 });
  assert.match(behind?.detail ?? "", /2 of 3 are up to date/);
  assert.deepEqual((await policies("output", { "unclean.leader.election.enable": "true" })).map(states), ["warning"]);
});

test("timeouts that the brokers do not allow are faults, with the nearest that they do", async () => {
  const limits = {
    "transaction.max.timeout.ms": "900000",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.state.log.replication.factor": "1",
    "offsets.topic.replication.factor": "3",
  };
  const check = async (environment: Record<string, string>, brokers: number[]) => {
    const cluster = {
      describe: () => Promise.resolve({ id: "c", brokers }),
      brokerConfig: () => Promise.resolve(new Map(Object.entries(limits))),
    };
    const { values } = resolveConfig({ flags: {}, environment, envFile: {}, configFile: {} });
    return await checkBrokers(cluster, values, "b:9092");
  };
  assert.deepEqual((await check({}, [1])).map(states), ["good", "good", "good"]);
  const wrong = await check({ KAFKA_SESSION_TIMEOUT_MS: "5000" }, [1, 2, 3]);
  assert.deepEqual(wrong.map(states), ["good", "good", "bad", "warning"]);
  assert.match(wrong[2]?.fix ?? "", /^set KAFKA_SESSION_TIMEOUT_MS=6000/);
  assert.match(wrong[3]?.detail ?? "", /^1 on 3 brokers/);
  limits["transaction.max.timeout.ms"] = "5000";
  assert.match((await check({}, [1]))[1]?.fix ?? "", /^set KAFKA_TRANSACTION_TIMEOUT_MS=5000/);
});

test("who may not look at the brokers' limits is told so, and may run all the same", async () => {
  const refused = new KappaError("KAPPA_LOG_REFUSED", "the user lacks DescribeConfigs on broker 1");
  const cluster = {
    describe: () => Promise.resolve({ id: "c", brokers: [1] }),
    brokerConfig: () => Promise.reject(refused),
  };
  const { values } = resolveConfig({ flags: {}, environment: {}, envFile: {}, configFile: {} });
  assert.deepEqual((await checkBrokers(cluster, values, "b:9092")).map(states), ["good", "good"]);
});

test("a group of other consumers under the name of the application is a fault", async () => {
  const check = async (group: Partial<GroupDescription>) => {
    const whole = { state: "Stable", protocolType: "consumer", protocol: "kappa-sticky", members: [], ...group };
    return await checkGroup({ group: () => Promise.resolve(whole) }, "app");
  };
  const members = [{ clientId: "app", host: "/10.0.0.7" }];
  assert.equal((await check({})).detail, "no process runs now");
  assert.equal((await check({ members })).detail, "Stable, 1 processes: app at 10.0.0.7");
  const foreign = await check({ members, protocol: "range" });
  assert.equal(states(foreign), "bad");
  assert.match(foreign.detail, /share topics by "range"/);
});
