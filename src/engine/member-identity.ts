import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { KappaError } from "../core/errors.ts";
import { LevelBackend } from "../state/level-backend.ts";

const key = Buffer.from("id");

/** Processes of one application that share a folder of state on one machine, at most. */
const membersMax = 256;

/** An identity that nobody else has until it is released. */
export interface HeldIdentity {
  readonly id: string;
  release(): Promise<void>;
}

/**
 * Who this process is to its group, across restarts. A process that comes back after a crash within the session of the one
 * before has its tasks at once, instead of when the coordinator has given the dead one up.
 *
 * Identities live beside the state, `<state-dir>/<application>/member-0` and on, each for as long as a process holds the
 * lock of its folder: the lock dies with the process, and a stopped process keeps it. They are random, so that two
 * machines never have the same.
 */
export class MemberIdentity implements HeldIdentity {
  readonly id: string;
  readonly #lock: LevelBackend;

  private constructor(id: string, lock: LevelBackend) {
    this.id = id;
    this.#lock = lock;
  }

  /** The first identity of the folder that no process has. */
  static async claim(stateDir: string): Promise<MemberIdentity> {
    for (let slot = 0; ; slot++) {
      const path = join(stateDir, `member-${slot}`);
      try {
        return await MemberIdentity.#open(path).catch(async (error: unknown) => {
          if (!(error instanceof KappaError) || error.code !== "KAPPA_STATE_CORRUPT") throw error;
          // Under another name this process has its tasks once the session of the one before has ended.
          await LevelBackend.remove(path);
          return await MemberIdentity.#open(path);
        });
      } catch (error) {
        const taken = error instanceof KappaError && error.code === "KAPPA_STATE_LOCKED";
        if (!taken || slot + 1 === membersMax) throw error;
      }
    }
  }

  static async #open(path: string): Promise<MemberIdentity> {
    const lock = await LevelBackend.open({ path });
    try {
      return new MemberIdentity(await storedId(lock), lock);
    } catch (error) {
      // It is tried again, and must not find its own lock then.
      await lock.close();
      throw error;
    }
  }

  async release(): Promise<void> {
    await this.#lock.close();
  }
}

/** The id that a database holds; a new one when it holds none. */
async function storedId(lock: LevelBackend): Promise<string> {
  const stored = lock.get(key);
  if (stored !== undefined) return stored.toString();
  const id = randomUUID();
  const batch = lock.batch();
  batch.put(key, Buffer.from(id));
  await batch.write(true);
  return id;
}
