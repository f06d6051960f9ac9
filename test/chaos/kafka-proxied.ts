import { freePort } from "../../scripts/stack/free-port.ts";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import type { KafkaOptions } from "../../src/log/kafka-options.ts";
import { type Fate, TcpProxy } from "./tcp-proxy.ts";

/** A broker of its own that gives clients the address of a proxy: whatever they ask can be held up or lost. */
export class ProxiedKafka {
  readonly broker: KafkaBroker;
  readonly proxy: TcpProxy;

  private constructor(broker: KafkaBroker, proxy: TcpProxy) {
    this.broker = broker;
    this.proxy = proxy;
  }

  /** @param properties of the broker, beside its own */
  static async start(properties: Readonly<Record<string, string>> = {}): Promise<ProxiedKafka> {
    const proxy = await TcpProxy.listen();
    const port = await freePort();
    proxy.target(port);
    const advertised = { "advertised.listeners": `PLAINTEXT://127.0.0.1:${proxy.port}` };
    const broker = await KafkaBroker.start({ port, properties: { ...advertised, ...properties } });
    return new ProxiedKafka(broker, proxy);
  }

  /** How to reach it, by way of the proxy. */
  options(more: Partial<KafkaOptions> = {}): KafkaOptions {
    return { bootstrapServers: [`127.0.0.1:${this.proxy.port}`], clientId: "proxied", ...more };
  }

  /** The next request of a kind meets with a fate; all others pass. */
  next(apiKey: number, fate: Fate): void {
    let due = true;
    this.proxy.fate = (each) => {
      if (each !== apiKey || !due) return "pass";
      due = false;
      return fate;
    };
  }

  async stop(): Promise<void> {
    await this.broker.stop();
    await this.proxy.close();
  }
}
