// Persistent subscriptions: groups of consumers, strategies, what is said about an event, parking, and what is told about a group.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { collect, connect, db, events, fresh, old, revisions, types, until } from "./client.mjs";
import { acknowledging, forAll, forStream, groupsOf, is } from "./consumers.mjs";
import { serve } from "./server.mjs";

const { START, END, PARK, RETRY, SKIP, STOP, jsonEvent } = db;

let server, client;
const { grouped, open, info } = groupsOf(() => client);
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

describe("a group", () => {
  test("is made once, changed and deleted", async () => {
    const [stream, group] = await grouped();
    await assert.rejects(client.createPersistentSubscriptionToStream(stream, group, forStream()), is(db.PersistentSubscriptionExistsError));
    await client.updatePersistentSubscriptionToStream(stream, group, forStream({ maxRetryCount: 3, startFrom: START }));
    await client.deletePersistentSubscriptionToStream(stream, group);
    const gone = is(db.PersistentSubscriptionDoesNotExistError);
    await assert.rejects(client.deletePersistentSubscriptionToStream(stream, group), gone);
    await assert.rejects(client.updatePersistentSubscriptionToStream(stream, group, forStream()), gone);
    const seen = collect(open(stream, group));
    gone(await until(() => seen.error, "the refusal"));
    await assert.rejects(info(stream, group), gone);
  });

  test("of $all, too", async () => {
    const group = `all-${randomUUID()}`;
    await client.createPersistentSubscriptionToAll(group, forAll({ startFrom: START }));
    await assert.rejects(client.createPersistentSubscriptionToAll(group, forAll()), is(db.PersistentSubscriptionExistsError));
    await client.updatePersistentSubscriptionToAll(group, forAll({ startFrom: START }));
    await client.deletePersistentSubscriptionToAll(group);
    await assert.rejects(client.deletePersistentSubscriptionToAll(group), is(db.PersistentSubscriptionDoesNotExistError));
  });

  test("tells its consumers when it is deleted", async () => {
    const [stream, group] = await grouped({}, "A");
    const seen = acknowledging(open(stream, group));
    await seen.first(1);
    await client.deletePersistentSubscriptionToStream(stream, group);
    is(db.PersistentSubscriptionDroppedError)(await until(() => seen.error, "the end"));
  });

  test("takes so many consumers and no more", async () => {
    const [stream, group] = await grouped({ maxSubscriberCount: 1 }, "A");
    const first = open(stream, group);
    await acknowledging(first).first(1);
    const second = collect(open(stream, group));
    is(db.PersistentSubscriptionMaximumSubscribersReachedError)(await until(() => second.error, "the refusal"));
    await first.unsubscribe();
  });
});

describe("consumers", () => {
  test("get what was and what comes, from the start", async () => {
    const [stream, group] = await grouped({}, "A", "B");
    const subscription = open(stream, group);
    const seen = acknowledging(subscription);
    assert.deepEqual(types(await seen.first(2)), ["A", "B"]);
    await client.appendToStream(stream, events("C"));
    const found = await seen.first(3);
    assert.deepEqual(types(found), ["A", "B", "C"]);
    assert.equal(found[0].retryCount, 0);
    assert.equal(seen.confirmed, true);
    await subscription.unsubscribe();
  });

  for (const [name, startFrom, expected] of [["the end", END, ["D"]], ["a revision", 1n, ["B", "C", "D"]]]) {
    test(`get events from ${name}`, async () => {
      const [stream, group] = await grouped({ startFrom }, "A", "B", "C");
      const subscription = open(stream, group);
      const seen = acknowledging(subscription);
      await until(() => seen.confirmed, "confirmed");
      await client.appendToStream(stream, events("D"));
      assert.deepEqual(types(await seen.first(expected.length)), expected);
      await subscription.unsubscribe();
    });
  }

  test("of $all get what passes the filter", async () => {
    const tag = `pa${randomUUID().slice(0, 8)}`;
    await client.appendToStream(`${tag}-1`, events("A"));
    const filter = db.streamNameFilter({ prefixes: [`${tag}-`] });
    await client.createPersistentSubscriptionToAll(tag, forAll({ startFrom: START }), { filter });
    const subscription = client.subscribeToPersistentSubscriptionToAll(tag);
    const seen = acknowledging(subscription);
    await seen.first(1);
    await client.appendToStream(fresh(), events("No"));
    await client.appendToStream(`${tag}-2`, events("B"));
    assert.deepEqual(types(await seen.first(2)), ["A", "B"]);
    await subscription.unsubscribe();
  });

  test("of $ce- get what it links to", async () => {
    const category = `pc${randomUUID().slice(0, 8)}`;
    await client.appendToStream(fresh(category), events("A"));
    const settings = forStream({ startFrom: START, resolveLinkTos: true });
    await client.createPersistentSubscriptionToStream(`$ce-${category}`, "group", settings);
    const subscription = open(`$ce-${category}`, "group");
    const seen = acknowledging(subscription);
    await seen.first(1);
    await client.appendToStream(fresh(category), events("B"));
    const found = await seen.first(2);
    assert.deepEqual(types(found), ["A", "B"]);
    assert.equal(found[1].link.streamId, `$ce-${category}`);
    await subscription.unsubscribe();
  });

  test("have no more under way than they ask for", async () => {
    const [stream, group] = await grouped({}, "A", "B", "C", "D");
    const subscription = open(stream, group, { bufferSize: 2 });
    const seen = collect(subscription);
    await seen.first(2);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(seen.events.length, 2);
    await subscription.ack(...seen.events);
    await seen.first(4);
    await subscription.unsubscribe();
  });
});

describe("of two consumers", () => {
  /** How many of ten events each of two gets with this strategy. */
  async function shared(consumerStrategyName, append) {
    const [stream, group] = await grouped({ consumerStrategyName });
    const both = [open(stream, group, { bufferSize: 20 }), open(stream, group, { bufferSize: 20 })];
    const seen = both.map(acknowledging);
    await until(() => seen.every(({ confirmed }) => confirmed), "both confirmed");
    await append(stream);
    await until(() => seen[0].events.length + seen[1].events.length >= 10, "ten events");
    const found = seen.map(({ events }) => events);
    for (const each of both) await each.unsubscribe();
    return found;
  }
  const ten = (stream) => client.appendToStream(stream, events(...Array.from({ length: 10 }, () => "E")));

  test("both get some, in turn", async () => {
    const [one, two] = await shared(db.ROUND_ROBIN, ten);
    assert.deepEqual([one.length, two.length], [5, 5]);
    assert.deepEqual([...revisions(one), ...revisions(two)].sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test("one gets all, as long as it has room", async () => {
    const counts = (await shared(db.DISPATCH_TO_SINGLE, ten)).map(({ length }) => length);
    assert.deepEqual(counts.sort((a, b) => a - b), [0, 10]);
  });

  test("one gets all of a stream", async () => {
    const counts = (await shared(db.PINNED, ten)).map(({ length }) => length);
    assert.deepEqual(counts.sort((a, b) => a - b), [0, 10]);
  });

  // The older client has no name for it.
  test("one gets all of a correlation", { skip: old }, async () => {
    const ids = [randomUUID(), randomUUID()];
    const found = await shared(db.PINNED_BY_CORRELATION, (stream) =>
      client.appendToStream(stream, Array.from({ length: 10 }, (_, at) => jsonEvent({ type: "E", data: {}, metadata: { $correlationId: ids[at % 2] } }))),
    );
    for (const id of ids) {
      const having = found.filter((events) => events.some(({ event }) => event.metadata.$correlationId === id));
      assert.equal(having.length, 1);
    }
  });

  test("the one that is left gets what the other had not acknowledged", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.ROUND_ROBIN }, "A", "B", "C", "D");
    const first = open(stream, group);
    await collect(first).first(4);
    await first.unsubscribe();
    const second = open(stream, group);
    const found = await acknowledging(second).first(4);
    assert.deepEqual(revisions(found).sort(), [0, 1, 2, 3]);
    await second.unsubscribe();
  });
});

describe("an event that is not acknowledged", () => {
  test("comes again when its time is over", async () => {
    const [stream, group] = await grouped({ messageTimeout: 300 }, "A");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    const [first, second] = await seen.first(2);
    assert.equal(second.event.id, first.event.id);
    assert.ok(second.retryCount >= 1);
    await subscription.ack(second);
    await subscription.unsubscribe();
  });

  test("comes again when that is asked", async () => {
    const [stream, group] = await grouped({}, "A");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    const [first] = await seen.first(1);
    await subscription.nack(RETRY, "again", first);
    const [, second] = await seen.first(2);
    assert.equal(second.event.id, first.event.id);
    assert.equal(second.retryCount, 1);
    await subscription.ack(second);
    await subscription.unsubscribe();
  });

  test("is left out when that is asked", async () => {
    const [stream, group] = await grouped({}, "A");
    const subscription = open(stream, group, { bufferSize: 1 });
    const seen = collect(subscription);
    await subscription.nack(SKIP, "not this", (await seen.first(1))[0]);
    await client.appendToStream(stream, events("B"));
    assert.deepEqual(types(await seen.first(2)), ["A", "B"]);
    await subscription.ack(seen.events[1]);
    assert.equal((await info(stream, group)).stats.parkedMessageCount, 0n);
    await subscription.unsubscribe();
  });

  test("is parked when that is asked, and comes again when the parked are replayed", async () => {
    const [stream, group] = await grouped({}, "A", "B");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    for (const each of await seen.first(2)) await subscription.nack(PARK, "later", each);
    await until(async () => (await info(stream, group)).stats.parkedMessageCount === 2n, "two are parked");
    await client.replayParkedMessagesToStream(stream, group, { stopAt: 1 });
    await seen.first(3);
    assert.equal(seen.events[2].event.type, "A");
    await client.replayParkedMessagesToStream(stream, group);
    const found = await seen.first(4);
    await subscription.ack(found[2], found[3]);
    assert.deepEqual(types(found).slice(2), ["A", "B"]);
    await until(async () => (await info(stream, group)).stats.parkedMessageCount === 0n, "none is parked");
    await subscription.unsubscribe();
  });

  test("is parked after too many retries", async () => {
    const [stream, group] = await grouped({ maxRetryCount: 2 }, "A");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    subscription.on("data", (resolved) => subscription.nack(RETRY, "again", resolved));
    await until(async () => (await info(stream, group)).stats.parkedMessageCount === 1n, "it is parked");
    assert.ok(seen.events.length >= 2 && seen.events.length <= 4, String(seen.events.length));
    await subscription.unsubscribe();
  });

  test("ends the consumer when that is asked", async () => {
    const [stream, group] = await grouped({}, "A");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    let ended = false;
    for (const event of ["end", "close", "error"]) subscription.on(event, () => (ended = true));
    await subscription.nack(STOP, "enough", (await seen.first(1))[0]);
    await until(() => ended, "the end", 5);
  });
});

describe("what is told", () => {
  test("of a group: settings, consumers, numbers", async () => {
    const settings = { maxRetryCount: 7, messageTimeout: 12_345, checkPointLowerBound: 1, checkPointAfter: 100, consumerStrategyName: db.PINNED };
    const [stream, group] = await grouped(settings, "A", "B");
    const before = await info(stream, group);
    assert.equal(before.eventSource, stream);
    assert.equal(before.groupName, group);
    assert.equal(before.connections.length, 0);
    for (const [key, value] of Object.entries(settings)) assert.equal(before.settings[key], value, key);
    assert.equal(before.settings.startFrom, START);
    const subscription = open(stream, group);
    await acknowledging(subscription).first(2);
    const later = await until(async () => {
      const told = await info(stream, group);
      return told.connections.length === 1 && told.stats.totalInFlightMessages === 0 && told.stats.lastCheckpointedEventRevision === 1n && told;
    }, "the checkpoint");
    assert.equal(later.stats.totalItems, 2n);
    assert.equal(later.stats.lastKnownEventRevision, 1n);
    await subscription.unsubscribe();
  });

  test("of all groups, of those of a stream, of those of $all", async () => {
    const [stream, group] = await grouped();
    await client.createPersistentSubscriptionToStream(stream, `${group}b`, forStream());
    await client.createPersistentSubscriptionToAll(group, forAll());
    const names = (found) => found.map(({ groupName }) => groupName).sort();
    assert.deepEqual(names(await client.listPersistentSubscriptionsToStream(stream)), [group, `${group}b`]);
    assert.ok(names(await client.listPersistentSubscriptionsToAll()).includes(group));
    const everything = await client.listAllPersistentSubscriptions();
    assert.equal(everything.filter(({ groupName }) => groupName.startsWith(group)).length, 3);
    await assert.rejects(client.listPersistentSubscriptionsToStream(fresh()), is(db.PersistentSubscriptionDoesNotExistError));
  });

  test("nothing stops them from being restarted", async () => {
    await client.restartPersistentSubscriptionSubsystem();
  });
});

describe("after a restart", () => {
  for (const end of ["stop", "kill"]) {
    test(`(${end}) a group goes on after what was acknowledged, and the parked are kept`, async () => {
      const settings = { checkPointAfter: 50, checkPointLowerBound: 1, checkPointUpperBound: 1 };
      const [stream, group] = await grouped(settings, "A", "B", "C");
      const subscription = open(stream, group);
      const seen = collect(subscription);
      const [a, b, c] = await seen.first(3);
      await subscription.ack(a, b);
      await subscription.nack(PARK, "later", c);
      await until(async () => {
        const { stats } = await info(stream, group);
        return stats.parkedMessageCount === 1n && stats.lastCheckpointedEventRevision === 2n;
      }, "the checkpoint");
      await server[end]();
      await server.start();
      await until(async () => info(stream, group).catch(() => false), "the server is back", 30);
      await client.appendToStream(stream, events("D"));
      const next = open(stream, group);
      const later = acknowledging(next);
      assert.deepEqual(types(await later.first(1)), ["D"]);
      await client.replayParkedMessagesToStream(stream, group);
      assert.deepEqual(types(await later.first(2)), ["D", "C"]);
      await next.unsubscribe();
    });
  }

  const ids = [randomUUID(), randomUUID()];
  const ten = () =>
    Array.from({ length: 10 }, (_, at) => jsonEvent({ type: "E", data: {}, metadata: { $correlationId: ids[at % 2] } }));
  const counts = (given) => given.map(({ length }) => length).sort((a, b) => a - b);
  const byStrategy = [
    [db.ROUND_ROBIN, (given) => assert.deepEqual(counts(given), [5, 5])],
    [db.DISPATCH_TO_SINGLE, (given) => assert.deepEqual(counts(given), [0, 10])],
    [db.PINNED, (given) => assert.deepEqual(counts(given), [0, 10])],
    [db.PINNED_BY_CORRELATION, (given) => {
      for (const id of ids) {
        const having = given.filter((found) => found.some(({ event }) => event.metadata.$correlationId === id));
        assert.equal(having.length, 1);
      }
    }],
  ];
  for (const [consumerStrategyName, judge] of byStrategy) {
    const unknown = consumerStrategyName === undefined;
    test(`(kill) two clients share as before: ${consumerStrategyName ?? "by correlation"}`, { skip: unknown && old }, async () => {
      const settings = { consumerStrategyName, checkPointAfter: 50, checkPointLowerBound: 1, checkPointUpperBound: 1 };
      const [stream, group] = await grouped(settings);
      for (const round of [0, 1]) {
        const clients = [connect(server), connect(server)];
        try {
          const both = clients.map((each) => each.subscribeToPersistentSubscriptionToStream(stream, group, { bufferSize: 20 }));
          const seen = both.map(acknowledging);
          await until(() => seen.every(({ confirmed }) => confirmed), "both confirmed");
          await client.appendToStream(stream, ten());
          await until(() => seen[0].events.length + seen[1].events.length >= 10, "ten events");
          await until(async () => (await info(stream, group)).stats.lastCheckpointedEventRevision === BigInt(10 * round + 9), "the checkpoint");
          const given = seen.map(({ events }) => events);
          const numbers = given.flatMap(revisions).sort((a, b) => a - b);
          assert.deepEqual(numbers, Array.from({ length: 10 }, (_, at) => 10 * round + at));
          judge(given);
          for (const each of both) await each.unsubscribe();
        } finally {
          for (const each of clients) await each.dispose();
        }
        if (round === 1) break;
        await server.kill();
        await server.start();
        const told = await until(async () => info(stream, group).catch(() => false), "the server is back", 30);
        assert.equal(told.settings.consumerStrategyName, consumerStrategyName);
      }
    });
  }
});
