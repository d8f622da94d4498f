// Metadata of streams: what it hides, what deletion makes of it, and that it is a stream.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { all, connect, db, events, expecting, fresh, revisions, types } from "./client.mjs";
import { serve } from "./server.mjs";

const { NO_STREAM, BACKWARDS, END } = db;

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

async function filled(count = 5) {
  const stream = fresh();
  await client.appendToStream(stream, events(...Array.from({ length: count }, (_, at) => `E${at}`)), expecting(NO_STREAM));
  return stream;
}
const read = (stream, options) => all(client.readStream(stream, options));

test("comes back as it was set, with what is the user's own", async () => {
  const stream = fresh();
  const set = {
    maxCount: 3,
    maxAge: 3600,
    cacheControl: 60,
    truncateBefore: 1,
    acl: { readRoles: ["a", "b"], writeRoles: ["c"], deleteRoles: ["d"], metaReadRoles: ["e"], metaWriteRoles: ["f"] },
    mine: { x: [1, "ü"] },
  };
  const done = await client.setStreamMetadata(stream, set, { expectedRevision: NO_STREAM });
  assert.equal(done.nextExpectedRevision, 0n);
  const got = await client.getStreamMetadata(stream);
  assert.deepEqual(revisions(await read(`$$${stream}`)), [0]);
  assert.equal(got.metadata.maxCount, 3);
  assert.equal(got.metadata.maxAge, 3600);
  assert.equal(got.metadata.cacheControl, 60);
  assert.equal(got.metadata.truncateBefore, 1);
  assert.deepEqual(got.metadata.mine, { x: [1, "ü"] });
  assert.deepEqual(got.metadata.acl.readRoles, ["a", "b"]);
  assert.deepEqual([got.metadata.acl.writeRoles].flat(), ["c"]);
});

test("of a stream without any is nothing", async () => {
  const got = await client.getStreamMetadata(await filled());
  assert.equal(got.metadata, undefined);
  assert.equal(got.metastreamRevision, undefined);
});

test("is set with an expectation", async () => {
  const stream = fresh();
  await client.setStreamMetadata(stream, { maxCount: 1 });
  await assert.rejects(client.setStreamMetadata(stream, { maxCount: 2 }, expectingMeta(NO_STREAM)), db.WrongExpectedVersionError);
  await client.setStreamMetadata(stream, { maxCount: 3 }, expectingMeta(0n));
  assert.equal((await client.getStreamMetadata(stream)).metadata.maxCount, 3);
});

function expectingMeta(state) {
  return { expectedRevision: state, ...expecting(state) };
}

test("hides by count, and shows again", async () => {
  const stream = await filled();
  await client.setStreamMetadata(stream, { maxCount: 2 });
  assert.deepEqual(revisions(await read(stream)), [3, 4]);
  assert.deepEqual(revisions(await read(stream, { direction: BACKWARDS, fromRevision: END })), [4, 3]);
  await client.appendToStream(stream, events("E5"));
  assert.deepEqual(revisions(await read(stream)), [4, 5]);
});

test("hides before a revision", async () => {
  const stream = await filled();
  await client.setStreamMetadata(stream, { truncateBefore: 3 });
  assert.deepEqual(revisions(await read(stream)), [3, 4]);
  assert.deepEqual(revisions(await read(stream, { fromRevision: 1n })), [3, 4]);
  assert.equal((await client.appendToStream(stream, events("E5"), expecting(4n))).nextExpectedRevision, 5n);
});

test("hides by age", async () => {
  const stream = await filled(2);
  await client.setStreamMetadata(stream, { maxAge: 1 });
  await sleep(1500);
  await client.appendToStream(stream, events("New"));
  assert.deepEqual(types(await read(stream)), ["New"]);
});

test("hides by age, and all of it: then there is nothing, in a stream that is there", async () => {
  const stream = await filled(3);
  await client.setStreamMetadata(stream, { maxAge: 1 });
  await sleep(1500);
  assert.deepEqual(await read(stream), []);
  assert.deepEqual(await read(stream, { direction: BACKWARDS, fromRevision: END }), []);
  await assert.rejects(client.appendToStream(stream, events("New"), expecting(NO_STREAM)), db.WrongExpectedVersionError);
  assert.equal((await client.appendToStream(stream, events("New"), expecting(2n))).nextExpectedRevision, 3n);
  assert.deepEqual(revisions(await read(stream)), [3]);
});

test("hides before a revision that is not there yet, and shows from it on", async () => {
  const stream = await filled(3);
  await client.setStreamMetadata(stream, { truncateBefore: 4 });
  assert.deepEqual(await read(stream), []);
  await client.appendToStream(stream, events("E3", "E4", "E5"));
  assert.deepEqual(revisions(await read(stream)), [4, 5]);
  assert.deepEqual(revisions(await read(stream, { direction: BACKWARDS, fromRevision: END })), [5, 4]);
});

test("hides by count and by revision together, what either hides", async () => {
  const stream = await filled(6);
  await client.setStreamMetadata(stream, { maxCount: 3, truncateBefore: 1 });
  assert.deepEqual(revisions(await read(stream)), [3, 4, 5]);
  await client.setStreamMetadata(stream, { maxCount: 3, truncateBefore: 5 });
  assert.deepEqual(revisions(await read(stream)), [5]);
  assert.deepEqual(revisions(await read(stream, { fromRevision: 0n, maxCount: 1 })), [5]);
  assert.deepEqual(await read(stream, { direction: BACKWARDS, fromRevision: 4n }), []);
  await client.setStreamMetadata(stream, {});
  assert.deepEqual(revisions(await read(stream)), [0, 1, 2, 3, 4, 5]);
});

test("hides nothing in $all", async () => {
  const stream = await filled();
  await client.setStreamMetadata(stream, { maxCount: 1 });
  const found = (await all(client.readAll())).filter(({ event }) => event.streamId === stream);
  assert.equal(found.length, 5);
});

test("is a stream of its own, and in $all", async () => {
  const stream = await filled(1);
  await client.setStreamMetadata(stream, { maxCount: 9, mine: 1 });
  const [{ event }] = await read(`$$${stream}`);
  assert.equal(event.type, "$metadata");
  assert.deepEqual(event.data, { $maxCount: 9, mine: 1 });
  const found = (await all(client.readAll())).filter(({ event }) => event.streamId === `$$${stream}`);
  assert.equal(found.length, 1);
});

test("is kept by a deletion, which is seen in it, and by what comes after", async () => {
  const stream = await filled(2);
  await client.setStreamMetadata(stream, { maxCount: 100, mine: "kept" });
  await client.deleteStream(stream);
  const [{ event }] = await read(`$$${stream}`, { direction: BACKWARDS, fromRevision: END, maxCount: 1 });
  assert.equal(event.type, "$metadata");
  const again = await client.appendToStream(stream, events("Again"));
  assert.equal(again.nextExpectedRevision, 2n);
  const { metadata } = await client.getStreamMetadata(stream);
  assert.equal(metadata.truncateBefore, 2);
  assert.equal(metadata.maxCount, 100);
  assert.equal(metadata.mine, "kept");
});

test("of a stream with a tombstone cannot be set", async () => {
  const stream = await filled(1);
  await client.tombstoneStream(stream);
  await assert.rejects(client.setStreamMetadata(stream, { maxCount: 1 }), db.StreamDeletedError);
});

test("of a stream with a tombstone is as gone as the stream", async () => {
  const stream = await filled(1);
  await client.setStreamMetadata(stream, { maxCount: 1 });
  await client.tombstoneStream(stream);
  const deleted = (error) => {
    assert.ok(error instanceof db.StreamDeletedError, `${error.constructor.name}: ${error.message}`);
    return true;
  };
  await assert.rejects(client.getStreamMetadata(stream), deleted);
  await assert.rejects(read(`$$${stream}`), deleted);
  await assert.rejects(read(`$$${stream}`, { direction: BACKWARDS, fromRevision: END }), deleted);
});

test("that is no JSON object, or has a wrong value, does no harm", async () => {
  const stream = await filled(2);
  await client.appendToStream(`$$${stream}`, [db.jsonEvent({ type: "$metadata", data: { $maxCount: "x" } })]).catch(() => {});
  assert.equal((await read(stream)).length, 2);
});
