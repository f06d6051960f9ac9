import { type City, farCities, homeCities, latOf, lonOf } from "./places.ts";
import type { Random } from "./random.ts";
import { type Category, categories, type Habit, habits, levelSpread, meanWeight } from "./spending.ts";

const dayMs = 86_400_000;

export interface Terminal {
  readonly id: string;
  readonly merchantId: string;
  readonly category: Category;
  readonly city: City;
  readonly lat: number;
  readonly lon: number;
  /** Until when criminals have their hands on it; in the past when they do not. */
  compromisedUntilMs: number;
  /** Frauds reported since it was compromised. */
  reportCount: number;
}

export interface Customer {
  readonly id: string;
  readonly home: City;
  readonly homeLat: number;
  readonly homeLon: number;
  readonly segment: "standard" | "student" | "premium";
  readonly openedMs: number;
  readonly habit: Habit;
  /** Candidate payments per ms; `habit` thins them out. */
  readonly candidatesPerMs: number;
  /** Amounts, relative to the category's median. */
  readonly level: number;
  readonly onlineShare: number;
  /** Terminals near home, the usual one first. */
  readonly terminals: readonly Terminal[];
  /** Web shops, the usual one first. */
  readonly shops: readonly Terminal[];
  /** In use; the first one most. */
  readonly devices: string[];
  /** Where the customer is now. */
  city: City;
  awayUntilMs: number;
  /** Until when the customer has no card: it was stolen and is being replaced. */
  pausedUntilMs: number;
}

export interface PopulationOptions {
  readonly customerCount: number;
  readonly terminalCount: number;
  readonly paymentsPerCustomerDay: number;
  readonly startMs: number;
}

/** Share of terminals that are web shops. */
const onlineShare = 0.15;
/** Share of terminals, of those drawn freely, that are where nobody of the population lives. */
const farShare = 0.15;

const everyCity: readonly City[] = [...homeCities, ...farCities];

/** The card holders and the terminals, drawn once; what they do is up to the simulator. */
export class Population {
  readonly customers: readonly Customer[];
  /** Terminals at the till. */
  readonly tills: readonly Terminal[] = [];
  readonly shops: readonly Terminal[] = [];
  readonly #tillsByCity = new Map<City, Terminal[]>();
  #deviceCount = 0;
  #merchantCount = 0;

  constructor(random: Random, options: PopulationOptions) {
    const tills: Terminal[] = [];
    const shops: Terminal[] = [];
    const chains = new Map<Category, string[]>();
    for (let i = 0; i < options.terminalCount; i++) {
      const online = i < options.terminalCount * onlineShare;
      const kind = online ? shops : tills;
      const terminal = this.#terminal(random, `T${i}`, kind.length, online, chains);
      kind.push(terminal);
      if (!online) listIn(this.#tillsByCity, terminal.city).push(terminal);
    }
    this.tills = tills;
    this.shops = shops;
    this.customers = Array.from({ length: options.customerCount }, (_, i) => this.#customer(random, `C${i}`, options));
  }

  /** Terminals at the till of a city; every city has some. */
  tillsIn(city: City): readonly Terminal[] {
    return this.#tillsByCity.get(city) ?? [];
  }

  newDevice(): string {
    return `D${this.#deviceCount++}`;
  }

  #terminal(random: Random, id: string, nth: number, online: boolean, chains: Map<Category, string[]>): Terminal {
    const category = pickCategory(random, online);
    const city = this.#cityOf(random, nth);
    const known = listIn(chains, category);
    const joinsChain = !online && known.length > 0 && random.chance(0.5);
    const merchantId = joinsChain ? random.pickFavourite(known) : `M${this.#merchantCount++}`;
    if (!joinsChain) known.push(merchantId);
    return {
      id,
      merchantId,
      category,
      city,
      lat: latOf(city, random.between(-8, 8)),
      lon: lonOf(city, random.between(-8, 8)),
      compromisedUntilMs: Number.NEGATIVE_INFINITY,
      reportCount: 0,
    };
  }

  /** Every city gets its turn, so that none is without tills; then more where more people live. */
  #cityOf(random: Random, nth: number): City {
    const drawn = random.chance(farShare) ? random.pick(farCities) : random.pickFavourite(homeCities);
    const turns = nth % (4 * everyCity.length);
    return everyCity[turns] ?? drawn;
  }

  #customer(random: Random, id: string, options: PopulationOptions): Customer {
    const home = random.pickFavourite(homeCities);
    const homeLat = latOf(home, random.between(-9, 9));
    const homeLon = lonOf(home, random.between(-9, 9));
    const habit = random.pickFavourite(habits);
    const segment = random.pickFavourite(["standard", "student", "premium"] as const);
    const perDay = options.paymentsPerCustomerDay * random.quantile(levelSpread);
    const near = this.tillsIn(home);
    return {
      id,
      home,
      homeLat,
      homeLon,
      segment,
      openedMs: options.startMs - Math.floor(random.between(10, 4000)) * dayMs,
      habit,
      candidatesPerMs: perDay / dayMs / meanWeight(habit),
      level: random.quantile(levelSpread) * (segment === "premium" ? 1.6 : segment === "student" ? 0.7 : 1),
      onlineShare: random.between(0.05, 0.45),
      terminals: Array.from({ length: 10 }, () => nearest(homeLat, homeLon, home, random, near)),
      shops: Array.from({ length: 4 }, () => random.pick(this.shops)),
      devices: random.chance(0.5) ? [this.newDevice()] : [this.newDevice(), this.newDevice()],
      city: home,
      awayUntilMs: Number.NEGATIVE_INFINITY,
      pausedUntilMs: Number.NEGATIVE_INFINITY,
    };
  }
}

function listIn<Key, Item>(lists: Map<Key, Item[]>, key: Key): Item[] {
  const list = lists.get(key) ?? [];
  lists.set(key, list);
  return list;
}

function pickCategory(random: Random, online: boolean): Category {
  const offered = categories.filter((category) => category.online === online);
  let left = random.below(100);
  for (const category of offered) {
    left -= category.share;
    if (left < 0) return category;
  }
  return random.pick(offered);
}

/** The nearest of three: people mostly shop nearby, not only. */
function nearest(lat: number, lon: number, city: City, random: Random, terminals: readonly Terminal[]): Terminal {
  let best = random.pick(terminals);
  let bestDistance = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 3; i++) {
    const candidate = random.pick(terminals);
    const north = (candidate.lat - lat) * 111.2;
    const east = (candidate.lon - lon) * city.kmPerDegreeEast;
    const distance = north * north + east * east;
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
