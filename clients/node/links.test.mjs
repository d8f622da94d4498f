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
