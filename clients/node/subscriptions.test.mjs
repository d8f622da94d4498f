// Subscriptions to streams and to $all, filtered and not: what was, then what comes, with nothing lost or twice.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { all, collect, connect, db, events, fresh, old, revisions, soon, types, until } from "./client.mjs";
import { serve } from "./server.mjs";

const { START, END } = db;

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

const append = (stream, ...types) => client.appendToStream(stream, events(...types));

describe("of a stream", () => {
  test("from the start: what was, caught up, what comes", async () => {
    const stream = fresh();
    await append(stream, "A", "B");
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const seen = collect(subscription);
    await seen.first(2);
    await until(() => seen.caughtUp.length > 0, "caught up");
    assert.ok(seen.confirmed);
    assert.ok(subscription.id);
    if (!old) {
      assert.ok(Math.abs(seen.caughtUp[0].date.getTime() - Date.now()) < 60_000);
      assert.equal(seen.caughtUp[0].revision, 1n);
    }
    await append(stream, "C");
    assert.deepEqual(types(await seen.first(3)), ["A", "B", "C"]);
    await subscription.unsubscribe();
  });

  test("after a revision, which is left out", async () => {
    const stream = fresh();
    await append(stream, "A", "B", "C");
    const subscription = client.subscribeToStream(stream, { fromRevision: 0n });
    assert.deepEqual(revisions(await collect(subscription).first(2)), [1, 2]);
    await subscription.unsubscribe();
  });

  test("from the end: only what comes", async () => {
    const stream = fresh();
    await append(stream, "A");
    const subscription = client.subscribeToStream(stream, { fromRevision: END });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    await append(stream, "B");
    assert.deepEqual(types(await seen.first(1)), ["B"]);
    await subscription.unsubscribe();
  });

  test("that is not there yet", async () => {
    const stream = fresh();
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    await append(stream, "A");
    assert.deepEqual(types(await seen.first(1)), ["A"]);
    await subscription.unsubscribe();
  });

  test("ends when the stream gets a tombstone", async () => {
    const stream = fresh();
    await append(stream, "A");
    const seen = collect(client.subscribeToStream(stream, { fromRevision: START }));
    await seen.first(1);
    await client.tombstoneStream(stream);
    const error = await until(() => seen.error, "the end");
    assert.ok(error instanceof db.StreamDeletedError, `${error.constructor.name}: ${error.message}`);
  });

  test("that has a tombstone is refused", async () => {
    const stream = fresh();
    await client.tombstoneStream(stream);
    const seen = collect(client.subscribeToStream(stream, { fromRevision: START }));
    assert.ok((await until(() => seen.error, "the refusal")) instanceof db.StreamDeletedError);
  });

  test("outlives its deletion", async () => {
    const stream = fresh();
    await append(stream, "A");
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const seen = collect(subscription);
    await seen.first(1);
    await client.deleteStream(stream);
    await append(stream, "B");
    assert.deepEqual(revisions(await seen.first(2)), [0, 1]);
    await subscription.unsubscribe();
  });

  test("loses nothing when it starts amid appends, and many do", async () => {
    const stream = fresh();
    const writing = (async () => {
      for (let at = 0; at < 150; at++) await append(stream, `E${at}`);
    })();
    const subscriptions = [];
    for (let at = 0; at < 8; at++) {
      const subscription = client.subscribeToStream(stream, { fromRevision: START });
      subscriptions.push([subscription, collect(subscription)]);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await writing;
    for (const [subscription, seen] of subscriptions) {
      await seen.first(150);
      assert.deepEqual(revisions(seen.events), Array.from({ length: 150 }, (_, at) => at));
      await subscription.unsubscribe();
    }
  });

  test("shows what metadata leaves, and all that comes", async () => {
    const hiding = [[{ truncateBefore: 3 }, [3, 4]], [{ maxCount: 1 }, [4]], [{ maxCount: 4, truncateBefore: 2 }, [2, 3, 4]]];
    for (const [metadata, left] of hiding) {
      const stream = fresh();
      await append(stream, "A", "B", "C", "D", "E");
      await client.setStreamMetadata(stream, metadata);
      const subscription = client.subscribeToStream(stream, { fromRevision: START });
      const seen = collect(subscription);
      await until(() => seen.caughtUp.length > 0, "caught up");
      assert.deepEqual(revisions(seen.events), left);
      await append(stream, "F", "G");
      assert.deepEqual(revisions(await seen.first(left.length + 2)), [...left, 5, 6]);
      await subscription.unsubscribe();
      const rest = client.subscribeToStream(stream, { fromRevision: 0n });
      const after = collect(rest);
      await until(() => after.caughtUp.length > 0, "caught up");
      assert.deepEqual(revisions(after.events), revisions(await all(client.readStream(stream))));
      await rest.unsubscribe();
    }
  });

  test("shows nothing that is too old, and what comes", async () => {
    const stream = fresh();
    await append(stream, "A", "B");
    await client.setStreamMetadata(stream, { maxAge: 1 });
    await sleep(1_500);
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    await append(stream, "C");
    assert.deepEqual(revisions(await seen.first(1)), [2]);
    await subscription.unsubscribe();
  });

  test("of metadata, live", async () => {
    const stream = fresh();
    const subscription = client.subscribeToStream(`$$${stream}`, { fromRevision: START });
    const seen = collect(subscription);
    await client.setStreamMetadata(stream, { maxCount: 5 });
    await client.setStreamMetadata(stream, { maxCount: 6 });
    const found = await seen.first(2);
    assert.deepEqual(found.map(({ event }) => event.data.$maxCount), [5, 6]);
    await subscription.unsubscribe();
  });

  test("a slow reader gets all of it", async () => {
    const stream = fresh();
    await append(stream, ...Array.from({ length: 300 }, () => "E"));
    const subscription = client.subscribeToStream(stream, { fromRevision: START });
    const seen = [];
    const reading = (async () => {
      for await (const { event } of subscription) {
        seen.push(Number(event.revision));
        if (seen.length % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 100));
        if (seen.length === 600) break;
      }
    })();
    for (let round = 0; round < 6; round++) await append(stream, ...Array.from({ length: 50 }, () => "E"));
    await soon(reading, "600 events", 30);
    assert.deepEqual(seen, Array.from({ length: 600 }, (_, at) => at));
  });
});

describe("of $all", () => {
  test("from the start, the end and a position", async () => {
    const stream = fresh();
    await append(stream, "A", "B", "C");
    const own = ({ event }) => event?.streamId === stream;
    const [, second] = await all(client.readStream(stream));
    const whole = client.subscribeToAll({ fromPosition: START });
    const rest = client.subscribeToAll({ fromPosition: second.event.position });
    const live = client.subscribeToAll({ fromPosition: END });
    const [w, r, l] = [whole, rest, live].map(collect);
    await until(() => [w, r, l].every(({ caughtUp }) => caughtUp.length > 0), "all caught up");
    await append(stream, "D");
    const ends = (seen) => () => seen.events.filter(own).at(-1)?.event.type === "D";
    for (const seen of [w, r, l]) await until(ends(seen), "D");
    assert.deepEqual(types(w.events.filter(own)), ["A", "B", "C", "D"]);
    assert.deepEqual(types(r.events), ["C", "D"]);
    assert.deepEqual(types(l.events), ["D"]);
    if (!old) assert.ok(w.caughtUp[0].position.commit >= second.event.position.commit);
    for (const each of [whole, rest, live]) await each.unsubscribe();
  });

  test("shows what metadata hides", async () => {
    const stream = fresh();
    await append(stream, "A", "B", "C");
    await client.setStreamMetadata(stream, { maxCount: 1 });
    const filter = db.streamNameFilter({ prefixes: [stream] });
    const subscription = client.subscribeToAll({ fromPosition: START, filter });
    assert.deepEqual(revisions(await collect(subscription).first(3)), [0, 1, 2]);
    await subscription.unsubscribe();
  });

  test("shows deletions and tombstones", async () => {
    const [deleted, closed] = [fresh(), fresh()];
    const subscription = client.subscribeToAll({ fromPosition: END });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    for (const stream of [deleted, closed]) await append(stream, "A");
    await client.deleteStream(deleted);
    await client.tombstoneStream(closed);
    const found = await seen.first(4);
    const told = found.map(({ event }) => [event.streamId, event.type]);
    assert.deepEqual(told, [[deleted, "A"], [closed, "A"], [`$$${deleted}`, "$metadata"], [closed, "$streamDeleted"]]);
    await subscription.unsubscribe();
  });

  for (const [name, filter] of [
    ["streams by prefix", (tag) => db.streamNameFilter({ prefixes: [`x${tag}`, `${tag}-`] })],
    ["streams by expression", (tag) => db.streamNameFilter({ regex: `^${tag}-.*` })],
    ["types by prefix", (tag) => db.eventTypeFilter({ prefixes: [`${tag}-`] })],
    ["types by expression", (tag) => db.eventTypeFilter({ regex: `^${tag}-[A-Z]$` })],
    ["streams by an expression in the middle", (tag) => db.streamNameFilter({ regex: `${tag.slice(1)}-\\d` })],
  ]) {
    test(`filtered: ${name}`, async () => {
      const tag = `f${randomUUID().slice(0, 8)}`;
      const stream = `${tag}-1`;
      await append(fresh(), "No");
      await append(stream, `${tag}-A`, `${tag}-B`);
      const subscription = client.subscribeToAll({ fromPosition: START, filter: filter(tag) });
      const seen = collect(subscription);
      await seen.first(2);
      await append(fresh(), "No");
      await append(stream, `${tag}-C`);
      assert.deepEqual(types(await seen.first(3)), [`${tag}-A`, `${tag}-B`, `${tag}-C`]);
      assert.equal(seen.events.length, 3);
      await subscription.unsubscribe();
    });
  }

  test("filtered: checkpoints come though nothing passes, and one can go on from them", async () => {
    const filled = fresh();
    await append(filled, ...Array.from({ length: 200 }, (_, at) => `E${at}`));
    const points = [];
    const subscription = client.subscribeToAll({
      fromPosition: START,
      filter: db.streamNameFilter({
        prefixes: [`nothing${randomUUID()}`],
        maxSearchWindow: 16,
        checkpointInterval: 2,
        checkpointReached: async (_, position) => void points.push(position),
      }),
    });
    const seen = collect(subscription);
    await until(() => points.length >= 5, "checkpoints");
    await until(() => seen.caughtUp.length > 0, "caught up");
    assert.equal(seen.events.length, 0);
    await subscription.unsubscribe();
    for (let at = 1; at < points.length; at++) assert.ok(points[at].commit >= points[at - 1].commit);
    const last = points.at(-1);
    await append(filled, "After");
    const rest = client.subscribeToAll({ fromPosition: last, filter: db.streamNameFilter({ prefixes: [filled] }) });
    const [next] = await collect(rest).first(1);
    const before = (await all(client.readStream(filled))).filter(({ event }) => event.position.commit > last.commit);
    assert.equal(next.event.id, before[0].event.id);
    await rest.unsubscribe();
  });

  test("filtered: without the system's events", async () => {
    const stream = fresh();
    await client.setStreamMetadata(stream, { maxCount: 5 });
    await append(stream, "A");
    const subscription = client.subscribeToAll({ fromPosition: START, filter: db.excludeSystemEvents() });
    const seen = collect(subscription);
    await until(() => seen.events.some(({ event }) => event.streamId === stream), "the event");
    assert.ok(seen.events.every(({ event }) => !event.type.startsWith("$")));
    await subscription.unsubscribe();
  });

  test("filtered by what is not to be in it", async () => {
    const tag = `n${randomUUID().slice(0, 8)}`;
    await append(fresh(), `${tag}-A`, `${tag}-Not`, `${tag}-B`);
    const filter = db.eventTypeFilter({ regex: `^(?!.*-Not$)${tag}-` });
    const subscription = client.subscribeToAll({ fromPosition: START, filter });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    assert.deepEqual(types(seen.events), [`${tag}-A`, `${tag}-B`]);
    await subscription.unsubscribe();
  });

  test("filtered from the end, and from a position", async () => {
    const stream = fresh();
    await append(stream, "A", "B");
    const [first] = await all(client.readStream(stream));
    const filter = () => db.streamNameFilter({ prefixes: [stream] });
    const live = client.subscribeToAll({ fromPosition: END, filter: filter() });
    const rest = client.subscribeToAll({ fromPosition: first.event.position, filter: filter() });
    const [l, r] = [live, rest].map(collect);
    await until(() => [l, r].every(({ caughtUp }) => caughtUp.length > 0), "both caught up");
    await append(fresh(), "No");
    await append(stream, "C");
    assert.deepEqual(types(await l.first(1)), ["C"]);
    assert.deepEqual(types(await r.first(2)), ["B", "C"]);
    for (const each of [live, rest]) await each.unsubscribe();
  });

  test("filtered by what is no expression is refused, and the server goes on", async () => {
    const seen = collect(client.subscribeToAll({ fromPosition: START, filter: db.eventTypeFilter({ regex: "(" }) }));
    await until(() => seen.error, "the refusal");
    await append(fresh(), "A");
  });
});
