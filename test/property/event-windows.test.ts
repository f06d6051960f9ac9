import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { hold, timeoutMs } from "./hold.ts";
import { checkAsSorted, checkOrder, checkOutputs, checkState } from "./judge.ts";
import { runScenario } from "./run.ts";
import { scenario } from "./scenario.ts";

/** Where state is looked at, in ms after the newest event. */
const looks = fc.array(fc.integer({ min: -200, max: 600 }), { minLength: 1, maxLength: 3 });

test("a feature equals the oracle over the events read before it, however the input is cut and restarted", {
  timeout: timeoutMs,
}, async () => {
  await hold("read-before", 60, scenario({ beyond: true, atOnce: false, eventsMax: 300 }), (each) =>
    runScenario(each, (run) => {
      checkOutputs(each, run);
    }),
  );
});

test("after all input, state as of any instant equals the oracle over sorted input, for any shuffle within grace", {
  timeout: timeoutMs,
}, async () => {
  const cases = fc.tuple(scenario({ beyond: false, atOnce: false, eventsMax: 300 }), looks);
  await hold("state-as-of", 40, cases, ([each, afterMs]) =>
    runScenario(each, (run) => checkState(each, run, checkOutputs(each, run), [0, ...afterMs])),
  );
});

// A label that overtakes its event has to wait for it.
test("a mark counts whether its label comes before its event, with it or after it", {
  timeout: timeoutMs,
}, async () => {
  await hold("early-marks", 30, scenario({ beyond: false, atOnce: false, eventsMax: 60, early: true }), (each) => {
    const marked = { ...each, marked: true };
    return runScenario(marked, (run) => {
      checkOutputs(marked, run);
    });
  });
});

test("an event after which nothing older or equal arrives for its key has the features of sorted input", {
  timeout: timeoutMs,
}, async () => {
  await hold("as-sorted", 40, scenario({ beyond: false, atOnce: false, eventsMax: 200 }), (each) => {
    // When a label is known is not a matter of event time alone.
    const unmarked = {
      ...each,
      marked: false,
      features: each.features.filter(({ aggregate }) => aggregate.column !== "fraud"),
    };
    return runScenario(unmarked, (run) => checkAsSorted(unmarked, run));
  });
});

test("rows that wait in the log are taken in one order, whichever task runs first, across restarts", {
  timeout: timeoutMs,
}, async () => {
  await hold("one-order", 40, scenario({ beyond: true, atOnce: true, eventsMax: 200, early: true }), (each) => {
    const included = { ...each, late: "include" as const };
    return runScenario(included, (run) => {
      checkOrder(included, run);
      assert.deepEqual(run.driver.records("property-choices"), []);
    });
  });
});
