// Deadlines, a server that does not answer, retries after it, calls that are given up, and clients that go away.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { all, collect, connect, connectTo, db, events, expecting, fresh, old, revisions, soon, types, until } from "./client.mjs";
import { serve } from "./server.mjs";

const { ANY, NO_STREAM, START, jsonEvent } = db;
/** With these an append is a call of its own, not a part of a batch. */
const credentials = { username: "admin", password: "changeit" };

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

const read = (stream) => all(client.readStream(stream));

function late(error) {
  assert.ok(error instanceof db.DeadlineExceededError, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.type, "deadline-exceeded");
  return true;
}

const run = promisify(execFile);

/** Does something while the server is there but does nothing. */
async function asleep(what) {
  const { child } = server;
  child.kill("SIGSTOP");
  try {
    const stopped = async () => (await run("ps", ["-o", "state=", "-p", String(child.pid)])).stdout.trim().startsWith("T");
    await until(stopped, "the server sleeps");
    // Its threads do not all stop at one moment.
    await sleep(100);
    return await what();
  } finally {
    child.kill("SIGCONT");
  }
}

describe("a server that does not answer", () => {
  test("is waited for as long as is said, and a retry makes one append of both", async () => {
    const stream = fresh();
    const same = events("A", "B");
    const call = (options) => client.appendToStream(stream, same, { ...expecting(NO_STREAM), credentials, ...options });
    await client.appendToStream(fresh(), events("A"), { credentials });
    await asleep(() => assert.rejects(soon(call({ deadline: 300 }), "an answer", 10), late));
    assert.equal((await soon(call(), "an answer")).nextExpectedRevision, 1n);
    assert.equal((await call()).nextExpectedRevision, 1n);
    assert.deepEqual(types(await read(stream)), ["A", "B"]);
  });

  test("answers a batch when it is back", async () => {
    const stream = fresh();
    await client.appendToStream(fresh(), events("A"));
    const same = events("A");
    const asked = await asleep(async () => {
      const append = client.appendToStream(stream, same, expecting(ANY));
      assert.equal(await Promise.race([append, sleep(300, "nothing")]), "nothing");
      return [append];
    });
    assert.equal((await soon(asked[0], "an answer")).nextExpectedRevision, 0n);
    assert.equal((await client.appendToStream(stream, same, expecting(ANY))).nextExpectedRevision, 0n);
    assert.equal((await read(stream)).length, 1);
  });

  test("is waited for as long as the connection says, for each kind of call", async () => {
    const impatient = connectTo(`//127.0.0.1:${server.port}?tls=false&defaultDeadline=1500`);
    const [stream, group] = [fresh(), "group"];
    const settings = db.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START });
    try {
      await client.createPersistentSubscriptionToStream(stream, group, settings);
      await impatient.getPersistentSubscriptionToStreamInfo(stream, group);
      await asleep(async () => {
        const calls = [
          impatient.getPersistentSubscriptionToStreamInfo(stream, group),
          impatient.listAllPersistentSubscriptions(),
          impatient.replayParkedMessagesToStream(stream, group),
          impatient.createPersistentSubscriptionToStream(fresh(), group, settings),
          impatient.deleteStream(stream),
          impatient.tombstoneStream(fresh()),
        ];
        await Promise.all(calls.map((call) => assert.rejects(soon(call, "an answer"), late)));
      });
      assert.equal((await soon(impatient.getPersistentSubscriptionToStreamInfo(stream, group), "an answer")).groupName, group);
    } finally {
      await impatient.dispose();
    }
  });

  if (!old) {
    test("does not make two of an append to many streams that is sent again", async () => {
      const impatient = connectTo(`//127.0.0.1:${server.port}?tls=false&defaultDeadline=1500`);
      try {
        const [one, two, three] = [fresh(), fresh(), fresh()];
        const plain = (type) => jsonEvent({ type, data: {} });
        const session = [one, two].map((streamName) => ({ streamName, expectedState: NO_STREAM, events: [plain("A")] }));
        const records = [{ streamName: three, record: plain("A") }];
        await impatient.multiStreamAppend([{ streamName: fresh(), expectedState: ANY, events: [plain("A")] }]);
        await asleep(async () => {
          const calls = [impatient.multiStreamAppend(session), impatient.appendRecords(records)];
          await Promise.all(calls.map((call) => assert.rejects(soon(call, "an answer"), late)));
        });
        const [again, recordsAgain] = [await client.multiStreamAppend(session), await client.appendRecords(records)];
        assert.deepEqual(await client.multiStreamAppend(session), again);
        assert.deepEqual(await client.appendRecords(records), recordsAgain);
        for (const stream of [one, two, three]) assert.deepEqual(revisions(await read(stream)), [0]);
      } finally {
        await impatient.dispose();
      }
    });
  }

  test("ends no subscription: it goes on when it is back", async () => {
    const stream = fresh();
    const subscription = client.subscribeToStream(stream, { fromRevision: START, deadline: 200 });
    const seen = collect(subscription);
    await until(() => seen.caughtUp.length > 0, "caught up");
    await asleep(() => sleep(500));
    await client.appendToStream(stream, events("A"));
    assert.deepEqual(types(await seen.first(1)), ["A"]);
    assert.equal(seen.error, undefined);
    await subscription.unsubscribe();
  });
});

test("a deadline that has passed sends nothing, and the connection goes on", async () => {
  const stream = fresh();
  await assert.rejects(client.appendToStream(stream, events("A"), { credentials, deadline: -1_000 }), late);
  assert.equal((await client.appendToStream(stream, events("B"), expecting(NO_STREAM))).nextExpectedRevision, 0n);
  assert.deepEqual(types(await read(stream)), ["B"]);
});

test("a deadline that is long, or longer than there is, is no trouble", async () => {
  for (const deadline of [3_600_000, Infinity]) {
    const stream = fresh();
    assert.equal((await client.appendToStream(stream, events("A"), { deadline })).nextExpectedRevision, 0n);
    assert.equal((await client.appendToStream(stream, events("B"), { deadline, credentials })).nextExpectedRevision, 1n);
  }
});

describe("a subscription that is given up", () => {
  for (const [name, open] of [
    ["to a stream", (stream) => client.subscribeToStream(stream, { fromRevision: START })],
    ["to $all", (stream) => client.subscribeToAll({ fromPosition: START, filter: db.streamNameFilter({ prefixes: [stream] }) })],
  ]) {
    test(`${name} ends without an error, and nothing comes after`, async () => {
      const stream = fresh();
      await client.appendToStream(stream, events("A"));
      const subscription = open(stream);
      const seen = collect(subscription);
      await seen.first(1);
      await soon(subscription.unsubscribe(), "the end");
      await client.appendToStream(stream, events("B"));
      // Another one gets it, so the first would have.
      const other = open(stream);
      await collect(other).first(2);
      await other.unsubscribe();
      assert.deepEqual(types(seen.events), ["A"]);
      assert.equal(seen.error, undefined);
    });
  }

  test("amid many events, again and again, leaves the server as it was", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events(...Array.from({ length: 500 }, () => "E")));
    for (let round = 0; round < 20; round++) {
      const some = Array.from({ length: 5 }, () => client.subscribeToStream(stream, { fromRevision: START }));
      const seen = some.map(collect);
      await seen[round % 5].first(1);
      for (const each of some) await each.unsubscribe();
      for (const { error } of seen) assert.equal(error, undefined);
    }
    assert.equal((await read(stream)).length, 500);
  });

  test("with the loop over it", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events("A", "B", "C"));
    const found = await soon(all(client.subscribeToStream(stream, { fromRevision: START }), 2), "two events");
    assert.deepEqual(revisions(found), [0, 1]);
    await client.appendToStream(stream, events("D"));
  });
});

// The current client lets go of such a read only when its memory is collected, and large ones hold up others on its connection until then.
if (old) {
  test("reads that are given up in the middle leave room for others", async () => {
    const stream = fresh();
    const text = "x".repeat(20_000);
    await client.appendToStream(stream, Array.from({ length: 200 }, (_, at) => jsonEvent({ type: "E", data: { at, text } })));
    for (let round = 0; round < 20; round++) {
      const tried = Array.from({ length: 5 }, (_, at) => all(client.readStream(stream), at + 1));
      assert.deepEqual((await Promise.all(tried)).map(({ length }) => length), [1, 2, 3, 4, 5]);
      assert.equal((await all(client.readAll(), 2)).length, 2);
    }
    assert.equal((await read(stream)).length, 200);
  });
}

test("a client that goes away undoes nothing, and ends what it has open", async () => {
  const own = connect(server);
  const stream = fresh();
  const subscription = own.subscribeToStream(stream, { fromRevision: START });
  const seen = collect(subscription);
  await own.appendToStream(stream, events("A"));
  await seen.first(1);
  const unanswered = own.appendToStream(stream, events("B")).catch(() => undefined);
  await soon(own.dispose(), "the end");
  await client.appendToStream(stream, events("C"));
  await soon(Promise.race([unanswered, sleep(1_000)]), "the end");
  const found = types(await read(stream));
  assert.equal(found[0], "A");
  assert.equal(found.filter((type) => type === "C").length, 1);
  assert.ok(found.filter((type) => type === "B").length <= 1, found.join());
  assert.ok(!types(seen.events).includes("C"));
});
