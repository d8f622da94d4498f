// Groups of consumers, closer: how each strategy shares, what is parked and replayed, what ends a consumer, what is told, and what a group writes.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { all, collect, connect, connectTo, db, events, fresh, old, revisions, types, until } from "./client.mjs";
import { acknowledging, forAll, forStream, groupsOf, is } from "./consumers.mjs";
import { serve } from "./server.mjs";

const { START, END, UNBOUNDED, PARK, RETRY, jsonEvent } = db;
/** A checkpoint as soon as something is done. */
const noted = { checkPointAfter: 50, checkPointLowerBound: 1, checkPointUpperBound: 1 };

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

const read = (stream, options) => all(client.readStream(stream, options));
const many = (count, type = "E") => events(...Array.from({ length: count }, () => type));
const parkedOf = (stream, group) => `$persistentsubscription-${stream}::${group}-parked`;
const checkpointOf = (stream, group) => `$persistentsubscription-${stream}::${group}-checkpoint`;

/** Two consumers that are there, each with what came to it. */
async function pair(stream, group, options = { bufferSize: 100 }) {
  const both = [open(stream, group, options), open(stream, group, options)];
  const seen = both.map(collect);
  await until(() => seen.every(({ confirmed }) => confirmed), "both confirmed");
  const close = async () => {
    for (const each of both) await each.unsubscribe();
  };
  const count = (wanted) => until(() => seen[0].events.length + seen[1].events.length >= wanted, `${wanted} events`);
  return { both, seen, count, close };
}

/** Waits until the group says that so many are parked. */
const parks = (stream, group, count) =>
  until(async () => (await info(stream, group)).stats.parkedMessageCount === BigInt(count), `${count} are parked`);

describe("in turn", () => {
  test("each event goes to the other consumer than the one before", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.ROUND_ROBIN });
    const { seen, count, close } = await pair(stream, group);
    await client.appendToStream(stream, many(10));
    await count(10);
    const sorted = seen.map((each) => revisions(each.events)).sort((a, b) => a[0] - b[0]);
    assert.deepEqual(sorted, [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]);
    await close();
  });

  test("who is full is passed over, and who comes later has its share", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.ROUND_ROBIN });
    const full = open(stream, group, { bufferSize: 1 });
    const held = collect(full);
    await until(() => held.confirmed, "confirmed");
    await client.appendToStream(stream, many(1));
    await held.first(1);
    const later = open(stream, group, { bufferSize: 100 });
    const seen = acknowledging(later);
    await until(() => seen.confirmed, "confirmed");
    await client.appendToStream(stream, many(9));
    assert.deepEqual(revisions(await seen.first(9)), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.equal(held.events.length, 1);
    await full.unsubscribe();
    await seen.first(10);
    await later.unsubscribe();
  });
});

describe("to a single one", () => {
  test("the next gets what the first has no room for", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.DISPATCH_TO_SINGLE });
    const { seen, count, close } = await pair(stream, group, { bufferSize: 4 });
    await client.appendToStream(stream, many(6));
    await count(6);
    const counts = seen.map((each) => each.events.length).sort((a, b) => b - a);
    assert.deepEqual(counts, [4, 2]);
    const [first] = seen.filter((each) => each.events.length === 4);
    assert.deepEqual(revisions(first.events), [0, 1, 2, 3]);
    await close();
  });

  test("another takes over when it goes", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.DISPATCH_TO_SINGLE });
    const { both, seen, count } = await pair(stream, group);
    for (const each of both) each.on("data", (resolved) => each.ack(resolved));
    await client.appendToStream(stream, many(5));
    await count(5);
    const single = seen[0].events.length === 5 ? 0 : 1;
    assert.equal(seen[single].events.length, 5);
    await until(async () => (await info(stream, group)).stats.totalInFlightMessages === 0, "all acknowledged");
    await both[single].unsubscribe();
    await until(async () => (await info(stream, group)).connections.length === 1, "one is left");
    await client.appendToStream(stream, many(5));
    assert.deepEqual(revisions(await seen[1 - single].first(5)), [5, 6, 7, 8, 9]);
    await both[1 - single].unsubscribe();
  });
});

describe("pinned", () => {
  /** Which consumer each key came to, and that each came to one. */
  function owners(seen, key) {
    const found = new Map();
    for (const [consumer, { events }] of seen.entries()) {
      for (const resolved of events) {
        const owner = found.get(key(resolved));
        assert.ok(owner === undefined || owner === consumer, `${key(resolved)} came to both`);
        found.set(key(resolved), consumer);
      }
    }
    return found;
  }

  test("each stream of a category has one consumer, and both have streams", async () => {
    const category = `pin${randomUUID().slice(0, 8)}`;
    const source = `$ce-${category}`;
    const settings = forStream({ startFrom: START, resolveLinkTos: true, consumerStrategyName: db.PINNED });
    await client.createPersistentSubscriptionToStream(source, "group", settings);
    const { seen, count, close } = await pair(source, "group", { bufferSize: 200 });
    // That all of so many go to one by chance does not happen.
    const streams = Array.from({ length: 40 }, (_, at) => `${category}-${at}`);
    for (const round of [0, 1]) {
      await Promise.all(streams.map((stream) => client.appendToStream(stream, many(1))));
      await count(40 * (round + 1));
    }
    const found = owners(seen, ({ event }) => event.streamId);
    assert.equal(found.size, 40);
    assert.equal(new Set(found.values()).size, 2);
    await close();
  });

  // The older client has no name for it.
  if (!old) {
    test("each correlation has one consumer, and both have some", async () => {
      const [stream, group] = await grouped({ consumerStrategyName: db.PINNED_BY_CORRELATION });
      const { seen, count, close } = await pair(stream, group, { bufferSize: 200 });
      const ids = Array.from({ length: 40 }, () => randomUUID());
      for (const round of [0, 1]) {
        await client.appendToStream(stream, ids.map(($correlationId) => jsonEvent({ type: "E", data: {}, metadata: { $correlationId } })));
        await count(40 * (round + 1));
      }
      const found = owners(seen, ({ event }) => event.metadata.$correlationId);
      assert.equal(found.size, 40);
      assert.equal(new Set(found.values()).size, 2);
      await close();
    });
  }

  test("what its consumer leaves behind goes to the other", async () => {
    const [stream, group] = await grouped({ consumerStrategyName: db.PINNED });
    const { both, seen, count } = await pair(stream, group);
    await client.appendToStream(stream, many(4));
    await count(4);
    const owner = seen[0].events.length === 4 ? 0 : 1;
    await both[owner].unsubscribe();
    assert.deepEqual(revisions(await seen[1 - owner].first(4)).sort(), [0, 1, 2, 3]);
    await both[1 - owner].unsubscribe();
  });
});

describe("what is acknowledged", () => {
  test("does not come again when its time is over, alone and many at once", async () => {
    const [stream, group] = await grouped({ messageTimeout: 1_000 }, "A", "B", "C", "D");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    const [a, ...rest] = await seen.first(4);
    await subscription.ack(a);
    await subscription.ack(...rest.slice(0, 2));
    // The last comes again and again, which shows that time was over for the others as well.
    await until(() => seen.events.filter(({ event }) => event.type === "D").length >= 2, "D, twice");
    assert.deepEqual(types(seen.events).filter((type) => type !== "D"), ["A", "B", "C"]);
    assert.equal(seen.events.at(-1).retryCount, 1);
    await subscription.unsubscribe();
  });

  test("is the link, where it is one", async () => {
    const category = `ack${randomUUID().slice(0, 8)}`;
    await client.appendToStream(`${category}-1`, events("A", "B"));
    const settings = forStream({ startFrom: START, resolveLinkTos: true, messageTimeout: 1_000, ...noted });
    await client.createPersistentSubscriptionToStream(`$ce-${category}`, "group", settings);
    const subscription = open(`$ce-${category}`, "group");
    const seen = acknowledging(subscription);
    await seen.first(2);
    await until(async () => (await info(`$ce-${category}`, "group")).stats.lastCheckpointedEventRevision === 1n, "the checkpoint");
    await sleep(1_500);
    assert.deepEqual(types(seen.events), ["A", "B"]);
    await subscription.unsubscribe();
  });

  test("does not come to who joins later", async () => {
    const [stream, group] = await grouped({}, "A", "B", "C");
    const first = open(stream, group);
    const [a, b] = await collect(first).first(3);
    await first.ack(a, b);
    await until(async () => (await info(stream, group)).stats.totalInFlightMessages === 1, "two are acknowledged");
    await first.unsubscribe();
    const second = open(stream, group);
    const seen = acknowledging(second);
    await client.appendToStream(stream, events("D"));
    assert.deepEqual(types(await seen.first(2)), ["C", "D"]);
    await second.unsubscribe();
  });
});

describe("what is parked", () => {
  test("is what was given as often as the settings say, by refusals and by time", async () => {
    for (const refuses of [true, false]) {
      const [stream, group] = await grouped({ maxRetryCount: 2, messageTimeout: refuses ? 30_000 : 100 }, "A");
      const subscription = open(stream, group);
      const seen = collect(subscription);
      if (refuses) subscription.on("data", (resolved) => subscription.nack(RETRY, "again", resolved));
      await parks(stream, group, 1);
      assert.deepEqual(seen.events.map(({ retryCount }) => retryCount), [0, 1, 2]);
      await subscription.unsubscribe();
    }
  });

  test("are links in a stream of the group's own", async () => {
    const [stream, group] = await grouped({}, "A", "B", "C");
    const subscription = open(stream, group);
    const [a, b, c] = await collect(subscription).first(3);
    await subscription.nack(PARK, "for later", a, c);
    await subscription.ack(b);
    await parks(stream, group, 2);
    const found = await read(parkedOf(stream, group));
    assert.deepEqual(types(found), ["$>", "$>"]);
    const targets = found.map(({ event }) => Buffer.from(event.data).toString());
    assert.deepEqual(targets, [`0@${stream}`, `2@${stream}`]);
    const resolved = await read(parkedOf(stream, group), { resolveLinkTos: true });
    assert.deepEqual(types(resolved), ["A", "C"]);
    await subscription.unsubscribe();
  });

  test("is replayed in order, up to where it is asked for, and is parked anew if that is said", async () => {
    const [stream, group] = await grouped({}, "A", "B", "C", "D");
    const subscription = open(stream, group);
    const seen = collect(subscription);
    await subscription.nack(PARK, "later", ...(await seen.first(4)));
    await parks(stream, group, 4);
    await client.replayParkedMessagesToStream(stream, group, { stopAt: 2 });
    await seen.first(6);
    await sleep(300);
    assert.deepEqual(types(seen.events.slice(4)), ["A", "B"]);
    await subscription.ack(seen.events[4]);
    await subscription.nack(PARK, "later still", seen.events[5]);
    await parks(stream, group, 3);
    await client.replayParkedMessagesToStream(stream, group);
    const rest = (await seen.first(9)).slice(6);
    assert.deepEqual(types(rest).sort(), ["B", "C", "D"]);
    await subscription.ack(...rest);
    await parks(stream, group, 0);
    await sleep(300);
    assert.equal(seen.events.length, 9);
    await subscription.unsubscribe();
  });

  test("waits, when it is replayed, for a consumer", async () => {
    const [stream, group] = await grouped({}, "A");
    const first = open(stream, group);
    await first.nack(PARK, "later", ...(await collect(first).first(1)));
    await parks(stream, group, 1);
    await first.unsubscribe();
    await until(async () => (await info(stream, group)).connections.length === 0, "nobody is left");
    await client.replayParkedMessagesToStream(stream, group);
    const second = open(stream, group);
    assert.deepEqual(types(await acknowledging(second).first(1)), ["A"]);
    await second.unsubscribe();
  });

  test("is replayed for $all, too", async () => {
    const group = `parked-${randomUUID().slice(0, 8)}`;
    const filter = db.streamNameFilter({ prefixes: [group] });
    await client.createPersistentSubscriptionToAll(group, forAll({ startFrom: START }), { filter });
    const subscription = client.subscribeToPersistentSubscriptionToAll(group);
    const seen = collect(subscription);
    await client.appendToStream(group, events("A", "B"));
    await subscription.nack(PARK, "later", ...(await seen.first(2)));
    const told = async () => (await client.getPersistentSubscriptionToAllInfo(group)).stats.parkedMessageCount;
    await until(async () => (await told()) === 2n, "two are parked");
    await client.replayParkedMessagesToAll(group, { stopAt: 1 });
    await client.replayParkedMessagesToAll(group);
    assert.deepEqual(types(await seen.first(4)), ["A", "B", "A", "B"]);
    await subscription.ack(...seen.events.slice(2));
    await until(async () => (await told()) === 0n, "none is parked");
    await subscription.unsubscribe();
  });

  test("is of a group: there is none to replay where there is no group", async () => {
    const stream = fresh();
    const gone = is(db.PersistentSubscriptionDoesNotExistError, stream, "none");
    await assert.rejects(client.replayParkedMessagesToStream(stream, "none"), gone);
    await assert.rejects(client.replayParkedMessagesToAll(stream), is(db.PersistentSubscriptionDoesNotExistError));
  });
});

describe("a group's consumers", () => {
  for (const [change, make] of [
    ["changed", (stream, group) => client.updatePersistentSubscriptionToStream(stream, group, forStream({ startFrom: START, maxRetryCount: 3 }))],
    ["deleted", (stream, group) => client.deletePersistentSubscriptionToStream(stream, group)],
  ]) {
    test(`are told when it is ${change}, all of them`, async () => {
      const [stream, group] = await grouped({}, "A");
      const { seen } = await pair(stream, group);
      await make(stream, group);
      await until(() => seen.every(({ error }) => error), "both end");
      for (const { error } of seen) is(db.PersistentSubscriptionDroppedError, stream, group)(error);
    });
  }

  test("go on where they were after a change, and begin anew after a deletion", async () => {
    const [stream, group] = await grouped(noted, "A", "B");
    const first = open(stream, group);
    await acknowledging(first).first(2);
    await until(async () => (await info(stream, group)).stats.lastCheckpointedEventRevision === 1n, "the checkpoint");
    await first.unsubscribe();
    await client.updatePersistentSubscriptionToStream(stream, group, forStream({ startFrom: START, ...noted }));
    await client.appendToStream(stream, events("C"));
    const second = open(stream, group);
    assert.deepEqual(types(await acknowledging(second).first(1)), ["C"]);
    await second.unsubscribe();
    await client.deletePersistentSubscriptionToStream(stream, group);
    await client.createPersistentSubscriptionToStream(stream, group, forStream({ startFrom: START }));
    const third = open(stream, group);
    assert.deepEqual(types(await acknowledging(third).first(3)), ["A", "B", "C"]);
    await third.unsubscribe();
  });

  test("end when all groups are restarted, and what was not acknowledged is there for others", async () => {
    const [stream, group] = await grouped(noted, "A", "B");
    const first = open(stream, group);
    const seen = collect(first);
    let ended = false;
    for (const event of ["end", "close", "error"]) first.on(event, () => (ended = true));
    await first.ack((await seen.first(2))[0]);
    await until(async () => (await info(stream, group)).stats.lastCheckpointedEventRevision === 0n, "the checkpoint");
    await client.restartPersistentSubscriptionSubsystem();
    await until(() => ended, "the end");
    const second = open(stream, group);
    assert.deepEqual(types(await acknowledging(second).first(1)), ["B"]);
    await second.unsubscribe();
  });

  test("leave without an error, and are not counted any more", async () => {
    const [stream, group] = await grouped({ maxSubscriberCount: 1 }, "A", "B");
    for (const leave of ["unsubscribe", "dispose"]) {
      const own = connect(server);
      const subscription = own.subscribeToPersistentSubscriptionToStream(stream, group);
      const seen = collect(subscription);
      assert.deepEqual(types(await seen.first(2)), ["A", "B"]);
      assert.equal((await info(stream, group)).connections.length, 1);
      if (leave === "unsubscribe") await subscription.unsubscribe();
      await own.dispose();
      await until(async () => (await info(stream, group)).connections.length === 0, "nobody is left");
      assert.equal(seen.error, undefined);
    }
  });
});

describe("what is told of a group", () => {
  test("is each setting, as it was made and as it was changed", async () => {
    const made = {
      startFrom: 1n,
      resolveLinkTos: true,
      extraStatistics: true,
      messageTimeout: 20_000,
      maxRetryCount: 4,
      checkPointAfter: 1_500,
      checkPointLowerBound: 5,
      checkPointUpperBound: 50,
      maxSubscriberCount: 6,
      liveBufferSize: 60,
      readBatchSize: 15,
      historyBufferSize: 70,
      consumerStrategyName: db.DISPATCH_TO_SINGLE,
    };
    const [stream, group] = await grouped(made);
    assert.deepEqual((await info(stream, group)).settings, made);
    const changed = forStream({ startFrom: END });
    await client.updatePersistentSubscriptionToStream(stream, group, changed);
    const told = (await info(stream, group)).settings;
    assert.deepEqual(told, changed);
    assert.equal(told.maxSubscriberCount, UNBOUNDED);
  });

  test("is each setting over $all, too, with a position", async () => {
    const [{ event }] = await all(client.readAll({ direction: db.BACKWARDS, fromPosition: END, maxCount: 1 }));
    const position = { commit: event.position.commit, prepare: event.position.prepare };
    for (const startFrom of [START, END, position]) {
      const group = `told-${randomUUID().slice(0, 8)}`;
      const made = forAll({ startFrom, maxRetryCount: 4 });
      await client.createPersistentSubscriptionToAll(group, made);
      const told = await client.getPersistentSubscriptionToAllInfo(group);
      assert.deepEqual([told.eventSource, told.groupName], ["$all", group]);
      assert.deepEqual(told.settings, made);
      const [listed] = (await client.listPersistentSubscriptionsToAll()).filter(({ groupName }) => groupName === group);
      assert.deepEqual(listed.settings, made);
      await client.deletePersistentSubscriptionToAll(group);
    }
  });

  test("is who consumes, how much is under way and how much there is", async () => {
    const named = connectTo(`//127.0.0.1:${server.port}?tls=false&connectionName=the-consumer`);
    const [stream, group] = await grouped({ extraStatistics: true, ...noted }, "A", "B", "C");
    const subscription = named.subscribeToPersistentSubscriptionToStream(stream, group, { bufferSize: 5 });
    const seen = collect(subscription);
    const [a] = await seen.first(3);
    const before = await info(stream, group);
    assert.match(before.status, /Live|Behind/);
    const [consumer, ...more] = before.connections;
    assert.equal(more.length, 0);
    assert.equal(consumer.connectionName, "the-consumer");
    assert.deepEqual([consumer.inFlightMessages, consumer.availableSlots], [3, 2]);
    assert.deepEqual([before.stats.totalInFlightMessages, before.stats.outstandingMessagesCount], [3, 3]);
    await subscription.ack(a);
    const later = await until(async () => {
      const told = await info(stream, group);
      return told.stats.lastCheckpointedEventRevision === 0n && told;
    }, "the checkpoint");
    assert.deepEqual([later.connections[0].inFlightMessages, later.connections[0].availableSlots], [2, 3]);
    assert.equal(later.stats.totalInFlightMessages, 2);
    assert.equal(later.stats.lastKnownEventRevision, 2n);
    assert.equal(later.connections[0].totalItems, 3n);
    const measured = later.connections[0].extraStatistics;
    assert.ok(measured.has("mean") && measured.has("median"), [...measured.keys()].join());
    await until(async () => (await info(stream, group)).status === "Live", "it is live");
    await subscription.unsubscribe();
    await named.dispose();
  });

  test("is where it is in $all", async () => {
    const group = `where-${randomUUID().slice(0, 8)}`;
    await client.appendToStream(group, events("A"));
    const [{ event }] = await read(group);
    const filter = db.streamNameFilter({ prefixes: [group] });
    await client.createPersistentSubscriptionToAll(group, forAll({ startFrom: START, ...noted }), { filter });
    const subscription = client.subscribeToPersistentSubscriptionToAll(group);
    await acknowledging(subscription).first(1);
    const told = await until(async () => {
      const { stats } = await client.getPersistentSubscriptionToAllInfo(group);
      return (stats.lastCheckpointedEventPosition?.commit ?? -1n) >= event.position.commit && stats;
    }, "the checkpoint");
    assert.ok(told.lastKnownEventPosition.commit >= event.position.commit);
    await subscription.unsubscribe();
  });

  test("is in a list what it is by itself", async () => {
    const [stream, group] = await grouped({ maxRetryCount: 4 }, "A");
    const one = await info(stream, group);
    const [ofStream] = await client.listPersistentSubscriptionsToStream(stream);
    const [ofAll] = (await client.listAllPersistentSubscriptions()).filter(({ groupName }) => groupName === group);
    for (const listed of [ofStream, ofAll]) {
      assert.deepEqual([listed.eventSource, listed.groupName, listed.settings], [stream, group, one.settings]);
      assert.deepEqual(listed.connections, []);
    }
  });

  test("is an empty list where there is none", async () => {
    const other = await serve();
    const theirs = connect(other);
    try {
      assert.deepEqual(await theirs.listAllPersistentSubscriptions(), []);
      await assert.rejects(theirs.listPersistentSubscriptionsToAll(), is(db.PersistentSubscriptionDoesNotExistError));
    } finally {
      await theirs.dispose();
      await other.stop();
    }
  });
});

describe("a group that cannot be", () => {
  test("with a buffer smaller than what is read at once", async () => {
    const stream = fresh();
    const wrong = { historyBufferSize: 10, readBatchSize: 20 };
    const failed = is(db.PersistentSubscriptionFailedError, stream, "group");
    await assert.rejects(client.createPersistentSubscriptionToStream(stream, "group", forStream(wrong)), failed);
    await assert.rejects(client.createPersistentSubscriptionToAll(stream, forAll(wrong)), is(db.PersistentSubscriptionFailedError));
    await assert.rejects(info(stream, "group"), is(db.PersistentSubscriptionDoesNotExistError));
    await client.createPersistentSubscriptionToStream(stream, "group", forStream());
    await assert.rejects(client.updatePersistentSubscriptionToStream(stream, "group", forStream(wrong)), failed);
    assert.equal((await info(stream, "group")).settings.historyBufferSize, 500);
  });

  test("is named by its refusal, for each call", async () => {
    const [stream, group] = [fresh(), "none"];
    const gone = is(db.PersistentSubscriptionDoesNotExistError, stream, group);
    await assert.rejects(info(stream, group), gone);
    await assert.rejects(client.updatePersistentSubscriptionToStream(stream, group, forStream()), gone);
    await assert.rejects(client.deletePersistentSubscriptionToStream(stream, group), gone);
    const seen = collect(open(stream, group));
    gone(await until(() => seen.error, "the refusal"));
    const ofAll = is(db.PersistentSubscriptionDoesNotExistError, "$all", stream);
    await assert.rejects(client.updatePersistentSubscriptionToAll(stream, forAll()), ofAll);
    await assert.rejects(client.deletePersistentSubscriptionToAll(stream), ofAll);
    await client.createPersistentSubscriptionToStream(stream, group, forStream());
    const there = is(db.PersistentSubscriptionExistsError, stream, group);
    await assert.rejects(client.createPersistentSubscriptionToStream(stream, group, forStream()), there);
  });
});

describe("what a group gives", () => {
  test("is not what metadata hides", async () => {
    const stream = fresh();
    await client.appendToStream(stream, many(6));
    await client.setStreamMetadata(stream, { truncateBefore: 2, maxCount: 3 });
    await client.createPersistentSubscriptionToStream(stream, "group", forStream({ startFrom: START }));
    const subscription = open(stream, "group");
    const seen = acknowledging(subscription);
    await seen.first(3);
    await client.appendToStream(stream, many(1));
    assert.deepEqual(revisions(await seen.first(4)), [3, 4, 5, 6]);
    await subscription.unsubscribe();
  });

  test("goes on behind a link to what is gone", async () => {
    const [gone, there, index] = [fresh(), fresh(), fresh("index")];
    const link = (stream) => db.binaryEvent({ type: "$>", data: Buffer.from(`0@${stream}`) });
    for (const stream of [gone, there]) await client.appendToStream(stream, events(stream));
    await client.deleteStream(gone);
    await client.appendToStream(index, [link(gone), link(there)]);
    await client.createPersistentSubscriptionToStream(index, "group", forStream({ startFrom: START, resolveLinkTos: true }));
    const subscription = open(index, "group");
    const seen = acknowledging(subscription);
    await until(() => seen.events.some(({ event }) => event?.streamId === there), "what is there");
    await subscription.unsubscribe();
  });

  test("over $all is filtered by each kind of filter, and is from the end where that is asked", async () => {
    const tag = `g${randomUUID().slice(0, 8)}`;
    const filters = [
      db.streamNameFilter({ prefixes: [`x${tag}`, `${tag}-`] }),
      db.streamNameFilter({ regex: `^${tag}-\\d$` }),
      db.eventTypeFilter({ prefixes: [`${tag}-`] }),
      db.eventTypeFilter({ regex: `^(?!other|\\$).*${tag}-[A-Z]$` }),
    ];
    await client.appendToStream(`${tag}-1`, events(`${tag}-A`));
    for (const [at, filter] of filters.entries()) {
      for (const startFrom of [START, END]) {
        await client.createPersistentSubscriptionToAll(`${tag}${at}${startFrom}`, forAll({ startFrom }), { filter });
      }
    }
    await client.appendToStream(fresh(), events("No"));
    await client.appendToStream(`${tag}-1`, events(`${tag}-B`));
    for (const at of filters.keys()) {
      for (const [startFrom, expected] of [[START, [`${tag}-A`, `${tag}-B`]], [END, [`${tag}-B`]]]) {
        const subscription = client.subscribeToPersistentSubscriptionToAll(`${tag}${at}${startFrom}`);
        const found = types(await acknowledging(subscription).first(expected.length));
        assert.deepEqual(found, expected, `filter ${at} from ${startFrom}`);
        await subscription.unsubscribe();
      }
    }
  });
});

test("a checkpoint is an event in a stream of the group's own", async () => {
  const [stream, group] = await grouped(noted, "A", "B");
  const subscription = open(stream, group);
  await acknowledging(subscription).first(2);
  await until(async () => (await info(stream, group)).stats.lastCheckpointedEventRevision === 1n, "the checkpoint");
  const [last] = await read(checkpointOf(stream, group), { direction: db.BACKWARDS, fromRevision: END, maxCount: 1 });
  assert.equal(last.event.type, "$SubscriptionCheckpoint");
  assert.match(JSON.stringify(last.event.data), /^"?1"?$/);
  await subscription.unsubscribe();
});
