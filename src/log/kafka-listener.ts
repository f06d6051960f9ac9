import { connect, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What a listener answers to. `silent`: to nothing, or nobody listens. */
export type ListenerSpeech = "tls" | "plain" | "silent";

/** How long a listener may take to answer, in ms. */
const answerMs = 2000;

/**
 * ApiVersions in version 0, which any listener without TLS answers before it knows who asks:
 *
 *     | length i32 = 10 | key i16 = 18 | version i16 = 0 | correlation i32 | client id i16 = -1, none |
 */
const apiVersionsRequest = Buffer.from("0000000a0012000000000000ffff", "hex");

/** Finds out whether a listener speaks TLS: a client that does not, or does alone, is cut off without a word. */
export async function listenerSpeech(server: string): Promise<ListenerSpeech> {
  const at = server.lastIndexOf(":");
  const host = server.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  const port = Number(server.slice(at + 1));
  const name = isIP(host) === 0 ? { servername: host } : {};
  // Whether to trust it is not the question here, and nothing is sent.
  const tls = connectTls({ host, port, ...name, rejectUnauthorized: false });
  if (await happens(tls, "secureConnect")) return "tls";
  const plain = connect({ host, port }, () => plain.write(apiVersionsRequest));
  return (await happens(plain, "data")) ? "plain" : "silent";
}

function happens(socket: Socket, event: "secureConnect" | "data"): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (happened: boolean): void => {
      socket.destroy();
      resolve(happened);
    };
    socket.setTimeout(answerMs, () => end(false));
    socket.once("error", () => end(false));
    socket.once("close", () => end(false));
    socket.once(event, () => end(true));
  });
}
