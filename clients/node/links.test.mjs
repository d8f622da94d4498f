// Links, and the streams of a category, a type, a correlation, and of all streams.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { all, collect, connect, db, events, fresh, revisions, types, until } from "./client.mjs";
import { serve } from "./server.mjs";

const { jsonEvent, binaryEvent, BACKWARDS, END, START } = db;

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

const read = (stream, options) => all(client.readStream(stream, options));
const link = (number, stream) => binaryEvent({ type: "$>", data: Buffer.from(`${number}@${stream}`) });

/** What a read gives when what it reads may come a little later. */
function eventually(stream, count, options) {
  const tried = () => read(stream, options).then((found) => found.length >= count && found, () => false);
  return until(tried, `${count} events in ${stream}`, 5);
}

test("a link is followed where that is asked, and is there itself where not", async () => {
  const [stream, index] = [fresh(), fresh("index")];
  await client.appendToStream(stream, events("A", "B"));
  await client.appendToStream(index, [link(1, stream)]);
  const [followed] = await read(index, { resolveLinkTos: true });
  assert.equal(followed.event.type, "B");
  assert.equal(followed.event.streamId, stream);
  assert.equal(followed.link.type, "$>");
  assert.equal(followed.link.streamId, index);
  assert.equal(followed.link.revision, 0n);
  const [itself] = await read(index);
  assert.equal(itself.event.type, "$>");
  assert.equal(itself.link, undefined);
});

test("a link to what is gone has no event", async () => {
  const [stream, index] = [fresh(), fresh("index")];
  await client.appendToStream(stream, events("A"));
  await client.appendToStream(index, [link(0, stream), link(7, stream), link(0, fresh())]);
  await client.deleteStream(stream);
  const found = await read(index, { resolveLinkTos: true });
  assert.equal(found.length, 3);
  assert.ok(found.every(({ event, link }) => event === undefined && link.type === "$>"));
});

test("links are followed by subscriptions and in $all", async () => {
  const [stream, index] = [fresh(), fresh("index")];
  await client.appendToStream(stream, events("A"));
  await client.appendToStream(index, [link(0, stream)]);
  const subscription = client.subscribeToStream(index, { fromRevision: START, resolveLinkTos: true });
  const [first] = await collect(subscription).first(1);
  assert.equal(first.event.type, "A");
  assert.equal(first.link.streamId, index);
  await subscription.unsubscribe();
  const found = await all(client.readAll({ resolveLinkTos: true }));
  assert.equal(found.filter(({ event }) => event?.streamId === stream).length, 2);
});

test("$ce- has the events of a category, in order", async () => {
  const category = `cat${randomUUID().slice(0, 8)}`;
  const [one, two] = [fresh(category), fresh(category)];
  await client.appendToStream(one, events("A"));
  await client.appendToStream(two, events("B"));
  await client.appendToStream(one, events("C"));
  const found = await eventually(`$ce-${category}`, 3, { resolveLinkTos: true });
  assert.deepEqual(types(found), ["A", "B", "C"]);
  assert.deepEqual(found.map(({ link }) => Number(link.revision)), [0, 1, 2]);
  assert.ok(found.every(({ link }) => link.streamId === `$ce-${category}` && link.type === "$>"));
  const plain = await read(`$ce-${category}`);
  assert.deepEqual(plain.map(({ event }) => Buffer.from(event.data).toString()), [`0@${one}`, `0@${two}`, `1@${one}`]);
  assert.deepEqual(revisions(plain), [0, 1, 2]);
  const last = await read(`$ce-${category}`, { direction: BACKWARDS, fromRevision: END, maxCount: 1, resolveLinkTos: true });
  assert.deepEqual(types(last), ["C"]);
  const rest = await read(`$ce-${category}`, { fromRevision: 2n, resolveLinkTos: true });
  assert.deepEqual(types(rest), ["C"]);
  await assert.rejects(read(`$ce-${category}none`), db.StreamNotFoundError);
});

test("$et- has the events of a type", async () => {
  const type = `Type${randomUUID().slice(0, 8)}`;
  const [one, two] = [fresh(), fresh()];
  await client.appendToStream(one, events(type, "Other"));
  await client.appendToStream(two, events(type));
  const found = await eventually(`$et-${type}`, 2, { resolveLinkTos: true });
  assert.deepEqual(found.map(({ event }) => event.streamId), [one, two]);
});

test("$bc- has the events of a correlation", async () => {
  const $correlationId = randomUUID();
  const [one, two] = [fresh(), fresh()];
  const event = (type) => jsonEvent({ type, data: {}, metadata: { $correlationId } });
  await client.appendToStream(one, [event("A"), jsonEvent({ type: "Other", data: {} })]);
  await client.appendToStream(two, [event("B")]);
  const found = await eventually(`$bc-${$correlationId}`, 2, { resolveLinkTos: true });
  assert.deepEqual(types(found), ["A", "B"]);
  assert.deepEqual(found[0].event.metadata, { $correlationId });
});

test("$streams has the first event of each stream", async () => {
  const stream = fresh();
  await client.appendToStream(stream, events("A", "B"));
  const found = await until(async () => {
    const all = await read("$streams", { resolveLinkTos: true }).catch(() => []);
    return all.filter(({ event }) => event?.streamId === stream).length === 1 && all;
  }, "the stream in $streams", 5);
  assert.ok(found.length > 1);
});

test("$category- has the first event of each of its streams", async () => {
  const category = `first${randomUUID().slice(0, 8)}`;
  const [one, two] = [fresh(category), fresh(category)];
  await client.appendToStream(one, events("A", "B"));
  await client.appendToStream(two, events("C"));
  await client.appendToStream(one, events("D"));
  const found = await eventually(`$category-${category}`, 2, { resolveLinkTos: true });
  assert.deepEqual(found.map(({ event }) => [event.streamId, event.type]), [[one, "A"], [two, "C"]]);
});

test("the system's own events are in no category and not among the streams", async () => {
  const stream = fresh("meta");
  await client.setStreamMetadata(stream, { maxCount: 5 });
  await client.appendToStream(stream, events("A"));
  const found = await eventually("$streams", 1, { resolveLinkTos: true });
  assert.ok(found.every(({ event }) => !event?.streamId.startsWith("$")));
  await assert.rejects(read("$ce-$$meta"), db.StreamNotFoundError);
  const types_ = await eventually("$et-$metadata", 1, { resolveLinkTos: true });
  assert.ok(types_.some(({ event }) => event?.streamId === `$$${stream}`));
});

test("links to what has a tombstone, or is hidden, have no event", async () => {
  const category = `gone${randomUUID().slice(0, 8)}`;
  const [closed, short] = [fresh(category), fresh(category)];
  for (const stream of [closed, short]) await client.appendToStream(stream, events("A", "B"));
  const index = fresh("index");
  await client.appendToStream(index, [link(0, closed), link(0, short), link(1, short)]);
  await client.tombstoneStream(closed);
  await client.setStreamMetadata(short, { truncateBefore: 1 });
  const found = await read(index, { resolveLinkTos: true });
  assert.deepEqual(found.map(({ event }) => event?.type), [undefined, undefined, "B"]);
});

for (const [name, virtual, own] of [
  ["$et-", (tag) => `$et-${tag}`, (tag) => [fresh(), events(tag)]],
  ["$bc-", (tag) => `$bc-${tag}`, (tag) => [fresh(), [jsonEvent({ type: "E", data: {}, metadata: { $correlationId: tag } })]]],
  ["$category-", (tag) => `$category-${tag}`, (tag) => [fresh(tag), events("E")]],
  ["$streams", () => "$streams", () => [fresh(), events("E")]],
]) {
  test(`a subscription to ${name} gets what was and what comes`, async () => {
    const tag = `t${randomUUID().replaceAll("-", "")}`;
    const [[first, firstEvents], [second, secondEvents]] = [own(tag), own(tag)];
    await client.appendToStream(first, firstEvents);
    const subscription = client.subscribeToStream(virtual(tag), { fromRevision: START, resolveLinkTos: true });
    const seen = collect(subscription);
    const has = (stream) => () => seen.events.filter(({ event }) => event?.streamId === stream).length === 1;
    await until(has(first), "what was");
    await until(() => seen.caughtUp.length > 0, "caught up");
    await client.appendToStream(second, secondEvents);
    await until(has(second), "what comes");
    assert.ok(seen.events.every(({ link }) => link.streamId === virtual(tag)));
    await subscription.unsubscribe();
  });
}

test("a subscription to $ce- goes on live, and from where it was", async () => {
  const category = `live${randomUUID().slice(0, 8)}`;
  await client.appendToStream(fresh(category), events("A"));
  const subscription = client.subscribeToStream(`$ce-${category}`, { fromRevision: START, resolveLinkTos: true });
  const seen = collect(subscription);
  await seen.first(1);
  await client.appendToStream(fresh(category), events("B"));
  assert.deepEqual(types(await seen.first(2)), ["A", "B"]);
  await subscription.unsubscribe();
  const later = client.subscribeToStream(`$ce-${category}`, { fromRevision: 0n, resolveLinkTos: true });
  assert.deepEqual(types(await collect(later).first(1)), ["B"]);
  await later.unsubscribe();
});

test("a virtual stream cannot be written to", async () => {
  await client.appendToStream(fresh("nowrite"), events("A"));
  await assert.rejects(client.appendToStream("$ce-nowrite", events("X")));
});
