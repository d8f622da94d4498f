// Groups of consumers over the client of a suite, which is known once its server runs.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { collect, db, events, fresh } from "./client.mjs";

export const forStream = db.persistentSubscriptionToStreamSettingsFromDefaults;
export const forAll = db.persistentSubscriptionToAllSettingsFromDefaults;

/** What suites do with groups; `client` gives the client. */
export function groupsOf(client) {
  return {
    /** A stream with these events and a group over it. */
    async grouped(settings = {}, ...given) {
      const [stream, group] = [fresh(), `group-${randomUUID().slice(0, 8)}`];
      if (given.length > 0) await client().appendToStream(stream, events(...given));
      await client().createPersistentSubscriptionToStream(stream, group, forStream({ startFrom: db.START, ...settings }));
      return [stream, group];
    },
    open: (stream, group, options) => client().subscribeToPersistentSubscriptionToStream(stream, group, options),
    info: (stream, group) => client().getPersistentSubscriptionToStreamInfo(stream, group),
  };
}

/** A consumer that acknowledges all it gets. */
export function acknowledging(subscription) {
  const seen = collect(subscription);
  subscription.on("data", (resolved) => subscription.ack(resolved));
  return seen;
}

/** Whether an error is of this kind, and about this group if one is named. */
export const is = (kind, stream, group) => (error) => {
  assert.ok(error instanceof kind, `${error.constructor.name}, not ${kind.name}: ${error.message}`);
  if (stream) assert.deepEqual([error.streamName, error.groupName], [stream, group]);
  return true;
};
