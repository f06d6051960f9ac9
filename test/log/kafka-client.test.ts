import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { KafkaClient } from "../../src/log/kafka-client.ts";

/** The answer to a request for the versions that a broker speaks: that request alone, in versions 0 to 2. */
function versionsFor(request: Buffer): Buffer {
  const [apiVersions, errorNone, throttleMs] = [18, 0, 0];
  const answer = Buffer.alloc(24);
  let at = answer.writeInt32BE(answer.length - 4);
  at = answer.writeInt32BE(request.readInt32BE(8), at); // which request it is for
  at = answer.writeInt16BE(errorNone, at);
  at = answer.writeInt32BE(1, at);
  for (const each of [apiVersions, 0, 2]) at = answer.writeInt16BE(each, at);
  answer.writeInt32BE(throttleMs, at);
  return answer;
}

test("connections that are closed again and again leave nothing behind on their dead sockets", async () => {
  const server = createServer((socket) => socket.on("data", (request) => socket.end(versionsFor(request))));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const warnings: string[] = [];
  const note = ({ message }: Error): void => void warnings.push(message);
  process.on("warning", note);
  onTestFinished(() => {
    process.off("warning", note);
    server.close();
  });
  const client = new KafkaClient({ bootstrapServers: [`127.0.0.1:${port}`], clientId: "closing" });
  await client.connect();
  await sleep(20); // until the socket has ended
  for (let n = 0; n < 20; n++) await client.close();
  await sleep(10);
  assert.deepEqual(warnings, []);
});
