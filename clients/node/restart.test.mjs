// What was acknowledged is there after the server was stopped, and after it was killed; subscriptions go on from where they were.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { all, collect, connect, db, events, expecting, fresh, revisions, types, until } from "./client.mjs";
import { serve } from "./server.mjs";

const { ANY, NO_STREAM, START } = db;

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

/** The call, again for as long as the client has not noticed that the server is back. */
function again(call) {
  return until(async () => {
    try {
      return (await call()) ?? true;
    } catch (error) {
      const gone = ["unavailable", "cancelled", "unknown", "deadline-exceeded", "not-found"];
      if (!gone.includes(error.type)) throw error;
      return false;
    }
  }, "the server is back", 30);
}

for (const [name, end] of [["stopped", "stop"], ["killed", "kill"]]) {
  test(`${name}: acknowledged appends stay, and retries are known`, async () => {
    const [stream, meta, gone] = [fresh(), fresh(), fresh()];
    const same = events("A", "B");
    const first = await again(() => client.appendToStream(stream, same, expecting(NO_STREAM)));
    await client.setStreamMetadata(meta, { maxCount: 7 });
    await client.appendToStream(gone, events("A"));
    await client.tombstoneStream(gone);
    const code = await server[end]();
    assert.equal(code, end === "stop" ? 0 : "SIGKILL");
    await server.start();
    const found = await again(() => all(client.readStream(stream)));
    assert.deepEqual(found.map(({ event }) => event.id), same.map(({ id }) => id));
    assert.deepEqual(found[0].event.position.commit < first.position.commit, true);
    const retried = await again(() => client.appendToStream(stream, same, expecting(NO_STREAM)));
    assert.equal(retried.nextExpectedRevision, 1n);
    assert.deepEqual(retried.position, first.position);
    await again(() => client.appendToStream(stream, same, expecting(ANY)));
    assert.equal((await all(client.readStream(stream))).length, 2);
    assert.equal((await client.getStreamMetadata(meta)).metadata.maxCount, 7);
    await assert.rejects(all(client.readStream(gone)), db.StreamDeletedError);
    assert.equal((await client.appendToStream(stream, events("C"), expecting(1n))).nextExpectedRevision, 2n);
  });

  test(`${name} amid appends: every acknowledged one is there once, in order`, async () => {
    const stream = fresh();
    const acknowledged = [];
    let stopped = false;
    const writing = (async () => {
      for (let at = 0; !stopped; at++) {
        const [event] = events(`E${at}`);
        const answer = await client.appendToStream(stream, [event]).catch(() => undefined);
        if (answer) acknowledged.push([event.id, answer.nextExpectedRevision]);
        else await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    try {
      await until(() => acknowledged.length > 30, "appends");
      await server[end]();
      const before = acknowledged.length;
      await server.start();
      await until(() => acknowledged.length > before + 10, "appends after the restart", 30);
    } finally {
      stopped = true;
      await writing;
    }
    const found = new Map((await all(client.readStream(stream))).map(({ event }) => [event.id, event.revision]));
    for (const [id, revision] of acknowledged) assert.equal(found.get(id), revision);
    assert.deepEqual([...found.values()].map(Number), Array.from({ length: found.size }, (_, at) => at));
  });

  test(`${name}: clients that do nothing do not hold it up`, async () => {
    const stream = fresh();
    await again(() => client.appendToStream(stream, events("A")));
    const begun = Date.now();
    await server[end]();
    const took = Date.now() - begun;
    await server.start();
    assert.ok(took < 5_000, `it took ${took} ms to stop`);
  });

  test(`${name}: a subscription ends with an error, and another goes on after its last`, async () => {
    const stream = fresh();
    await again(() => client.appendToStream(stream, events("A", "B")));
    const seen = collect(client.subscribeToStream(stream, { fromRevision: START }));
    const whole = collect(client.subscribeToAll({ fromPosition: START }));
    await seen.first(2);
    await until(() => whole.events.some(({ event }) => event.streamId === stream), "$all");
    await server[end]();
    await server.start();
    await until(() => seen.error && whole.error, "both end with an error");
    await again(() => client.appendToStream(stream, events("C")));
    const rest = client.subscribeToStream(stream, { fromRevision: seen.events.at(-1).event.revision });
    assert.deepEqual(types(await collect(rest).first(1)), ["C"]);
    const position = whole.events.at(-1).event.position;
    const restOfAll = client.subscribeToAll({ fromPosition: position });
    const [next] = await collect(restOfAll).first(1);
    assert.ok(next.event.position.commit > position.commit);
    assert.deepEqual(revisions([(await all(client.readStream(stream))).at(-1)]), [2]);
    await rest.unsubscribe();
    await restOfAll.unsubscribe();
  });

  test(`${name}: a filtered subscription goes on after its last checkpoint, with nothing lost or twice`, async () => {
    const tag = fresh("tagged");
    const [stream, other] = [`${tag}-1`, fresh("other")];
    const many = (type) => Array.from({ length: 40 }, () => type);
    const subscribe = (fromPosition, points) => {
      const checkpointReached = async (_, position) => void points.push(position);
      const filter = db.streamNameFilter({ prefixes: [`${tag}-`], maxSearchWindow: 8, checkpointInterval: 1, checkpointReached });
      return client.subscribeToAll({ fromPosition, filter });
    };
    await again(() => client.appendToStream(stream, events("A", "B")));
    await client.appendToStream(other, events(...many("No")));
    const points = [];
    const seen = collect(subscribe(START, points));
    await seen.first(2);
    const last = seen.events[1].event.position.commit;
    await until(() => points.some(({ commit }) => commit > last), "a checkpoint behind the last event");
    await server[end]();
    await server.start();
    await until(() => seen.error, "the end of the subscription");
    assert.deepEqual(types(seen.events), ["A", "B"]);
    await again(() => client.appendToStream(other, events(...many("No"))));
    await client.appendToStream(stream, events("C"));
    const later = [];
    const rest = subscribe(points.at(-1), later);
    const more = collect(rest);
    await more.first(1);
    await client.appendToStream(stream, events("D"));
    assert.deepEqual(types(await more.first(2)), ["C", "D"]);
    assert.deepEqual(revisions(more.events), [2, 3]);
    assert.ok(later.every(({ commit }) => commit >= points.at(-1).commit));
    await rest.unsubscribe();
  });
}
