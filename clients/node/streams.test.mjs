// Appends with every expectation, retries, reads from every edge, deletion.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { all, conflict, connect, connectTo, db, events, expecting, fresh, old, revisions, types } from "./client.mjs";
import { serve } from "./server.mjs";
import { send, service } from "./stubs.mjs";

const { jsonEvent, binaryEvent, ANY, NO_STREAM, STREAM_EXISTS, START, END, FORWARDS, BACKWARDS } = db;

let server, client;
before(async () => {
  server = await serve();
  client = connect(server);
});
after(async () => {
  await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

const append = (stream, what, state) =>
  client.appendToStream(stream, what, state === undefined ? {} : expecting(state));
const read = (stream, options) => all(client.readStream(stream, options));

function wrongVersion(stream, expected, actual) {
  return (error) => {
    assert.ok(error instanceof db.WrongExpectedVersionError, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.streamName, stream);
    assert.deepEqual(conflict(error), [expected, actual]);
    return true;
  };
}

/** An event without what every event has: what the client makes of it. */
function missing(error) {
  assert.ok(error instanceof db.RequiredMetadataPropertyMissingError, `${error.constructor.name}: ${error.message}`);
  assert.deepEqual(error.requiredMetadataProperties, ["type", "content-type"]);
  return true;
}

describe("what an append expects", () => {
  test("no stream: right once, then wrong", async () => {
    const stream = fresh();
    const first = await append(stream, events("A"), NO_STREAM);
    assert.equal(first.success, true);
    assert.equal(first.nextExpectedRevision, 0n);
    assert.ok(first.position.commit > 0n);
    assert.equal(first.position.commit, first.position.prepare);
    await assert.rejects(append(stream, events("B"), NO_STREAM), wrongVersion(stream, NO_STREAM, 0n));
  });

  test("an exact revision: right and wrong", async () => {
    const stream = fresh();
    await append(stream, events("A", "B"));
    const done = await append(stream, events("C"), 1n);
    assert.equal(done.nextExpectedRevision, 2n);
    await assert.rejects(append(stream, events("D"), 1n), wrongVersion(stream, 1n, 2n));
    await assert.rejects(append(stream, events("D"), 7n), wrongVersion(stream, 7n, 2n));
    const missing = fresh();
    await assert.rejects(append(missing, events("D"), 0n), wrongVersion(missing, 0n, NO_STREAM));
    assert.deepEqual(types(await read(stream)), ["A", "B", "C"]);
  });

  test("that it exists: right and wrong", async () => {
    const stream = fresh();
    await assert.rejects(append(stream, events("A"), STREAM_EXISTS), wrongVersion(stream, STREAM_EXISTS, NO_STREAM));
    await append(stream, events("A"));
    assert.equal((await append(stream, events("B"), STREAM_EXISTS)).nextExpectedRevision, 1n);
  });

  test("anything", async () => {
    const stream = fresh();
    assert.equal((await append(stream, events("A"), ANY)).nextExpectedRevision, 0n);
    assert.equal((await append(stream, events("B"), ANY)).nextExpectedRevision, 1n);
    assert.equal((await append(stream, events("C"))).nextExpectedRevision, 2n);
  });

  test("that it exists is true of a stream that has only metadata", async () => {
    const stream = fresh();
    await client.setStreamMetadata(stream, { maxCount: 5 });
    assert.equal((await append(stream, events("A"), STREAM_EXISTS)).nextExpectedRevision, 0n);
  });
});

describe("appending the same events again", () => {
  for (const [name, state] of [["an exact revision", 0n], ["any", ANY]]) {
    test(`with ${name} gives the first answer`, async () => {
      const stream = fresh();
      await append(stream, events("A"));
      const same = events("B", "C");
      const first = await append(stream, same, state);
      const again = await append(stream, same, state);
      assert.equal(again.nextExpectedRevision, 2n);
      assert.deepEqual(again.position, first.position);
      assert.deepEqual(types(await read(stream)), ["A", "B", "C"]);
    });
  }

  test("with no stream gives the first answer, also after more events", async () => {
    const stream = fresh();
    const same = events("A", "B");
    const first = await append(stream, same, NO_STREAM);
    await append(stream, events("C"), 1n);
    const again = await append(stream, same, NO_STREAM);
    assert.equal(again.nextExpectedRevision, first.nextExpectedRevision);
    assert.deepEqual(types(await read(stream)), ["A", "B", "C"]);
  });

  test("with other events behind them is a conflict", async () => {
    const stream = fresh();
    const [a, b] = events("A", "B");
    await append(stream, [a], NO_STREAM);
    await assert.rejects(append(stream, [a, b], NO_STREAM), wrongVersion(stream, NO_STREAM, 0n));
    await assert.rejects(append(stream, [b], NO_STREAM), wrongVersion(stream, NO_STREAM, 0n));
  });

  test("a part of them gives the revision of the last of that part", async () => {
    const stream = fresh();
    const same = events("A", "B", "C");
    await append(stream, same, NO_STREAM);
    const again = await append(stream, same.slice(0, 2), NO_STREAM);
    assert.equal(again.nextExpectedRevision, 1n);
  });

  test("that it exists gives the first answer, also in a call of its own", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    const same = events("B");
    const first = await append(stream, same, STREAM_EXISTS);
    await append(stream, events("C"));
    const credentials = { username: "admin", password: "changeit" };
    for (const options of [{}, { credentials }]) {
      const again = await client.appendToStream(stream, same, { ...expecting(STREAM_EXISTS), ...options });
      assert.deepEqual([again.nextExpectedRevision, again.position], [1n, first.position]);
    }
    assert.deepEqual(types(await read(stream)), ["A", "B", "C"]);
  });

  test("to a stream that was deleted since writes them once more only where that is expected", async () => {
    const stream = fresh();
    const same = events("A");
    await append(stream, same, NO_STREAM);
    await client.deleteStream(stream);
    assert.equal((await append(stream, events("B"), NO_STREAM)).nextExpectedRevision, 1n);
    assert.deepEqual(types(await read(stream)), ["B"]);
  });

  test("many at once writes them once", async () => {
    const stream = fresh();
    const same = events("A", "B");
    const answers = await Promise.all(Array.from({ length: 10 }, () => append(stream, same, NO_STREAM)));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.deepEqual(types(await read(stream)), ["A", "B"]);
  });

  test("to another stream is another append", async () => {
    const same = events("A");
    const [one, two] = [fresh(), fresh()];
    await append(one, same, NO_STREAM);
    assert.equal((await append(two, same, NO_STREAM)).nextExpectedRevision, 0n);
  });
});

describe("what is appended", () => {
  test("comes back as it was given", async () => {
    const stream = fresh();
    const id = randomUUID();
    const before = Date.now();
    const json = jsonEvent({ id, type: "Höhe — 高さ", data: { a: [1, "ü", null] }, metadata: { m: { n: 1 } } });
    const binary = binaryEvent({ type: "Bytes", data: Buffer.from([0, 255, 1]), metadata: Buffer.from([9, 0]) });
    const done = await append(stream, [json, binary], NO_STREAM);
    const [first, second] = (await read(stream)).map(({ event }) => event);
    assert.equal(first.id, id);
    assert.equal(first.streamId, stream);
    assert.equal(first.type, "Höhe — 高さ");
    assert.equal(first.isJson, true);
    assert.deepEqual(first.data, { a: [1, "ü", null] });
    assert.deepEqual(first.metadata, { m: { n: 1 } });
    assert.equal(first.revision, 0n);
    assert.ok(Math.abs(first.created.getTime() - before) < 60_000, String(first.created));
    assert.equal(second.isJson, false);
    assert.deepEqual([...second.data], [0, 255, 1]);
    assert.deepEqual([...second.metadata], [9, 0]);
    assert.ok(first.position.commit < second.position.commit);
    assert.equal(second.position.commit, done.position.commit);
  });

  test("may be nothing: only the expectation is judged", async () => {
    const stream = fresh();
    await append(stream, [], NO_STREAM);
    await append(stream, events("A"), NO_STREAM);
    await append(stream, [], 0n);
    await assert.rejects(append(stream, [], NO_STREAM), wrongVersion(stream, NO_STREAM, 0n));
    assert.equal((await read(stream)).length, 1);
  });

  test("of all at once may not be over the limit, which is told", async () => {
    const stream = fresh();
    const many = Array.from({ length: 3 }, () => binaryEvent({ type: "Large", data: Buffer.alloc(3 << 20, 7) }));
    const tooMuch = (error) => {
      assert.ok(error instanceof db.MaxAppendSizeExceededError, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.maxAppendSize, 8 << 20);
      return true;
    };
    await assert.rejects(append(stream, many, ANY), tooMuch);
    const credentials = { username: "admin", password: "changeit" };
    await assert.rejects(client.appendToStream(stream, many, { credentials }), tooMuch);
    await assert.rejects(read(stream), db.StreamNotFoundError);
    assert.equal((await append(stream, many.slice(0, 2), NO_STREAM)).nextExpectedRevision, 1n);
  });

  test("and is not as expected is told without an error, where the connection says so", async () => {
    const lenient = connectTo(`//127.0.0.1:${server.port}?tls=false&throwOnAppendFailure=false`);
    const stream = fresh();
    const credentials = { username: "admin", password: "changeit" };
    try {
      assert.equal((await lenient.appendToStream(stream, events("A"), expecting(NO_STREAM))).success, true);
      const inBatch = await lenient.appendToStream(stream, events("B"), expecting(7n));
      assert.deepEqual([inBatch.success, inBatch.position], [false, undefined]);
      const inCall = await lenient.appendToStream(stream, events("B"), { ...expecting(NO_STREAM), credentials });
      assert.deepEqual([inCall.success, inCall.nextExpectedRevision, inCall.position], [false, 0n, undefined]);
    } finally {
      await lenient.dispose();
    }
    assert.deepEqual(types(await read(stream)), ["A"]);
  });

  test("may be of 7 MiB in one message", async () => {
    const stream = fresh();
    const two = Array.from({ length: 2 }, () => binaryEvent({ type: "Large", data: Buffer.alloc(3.5 * (1 << 20), 7) }));
    const done = await client.appendToStream(stream, two, { ...expecting(NO_STREAM), batchAppendSize: 16 << 20 });
    assert.equal(done.nextExpectedRevision, 1n);
    assert.deepEqual((await read(stream)).map(({ event }) => event.data.length), [3.5 * (1 << 20), 3.5 * (1 << 20)]);
  });

  test("may be nothing to a stream that has only metadata, which exists", async () => {
    const stream = fresh();
    await client.setStreamMetadata(stream, { maxCount: 5 });
    await append(stream, [], STREAM_EXISTS);
    await client.appendToStream(stream, [], { ...expecting(STREAM_EXISTS), credentials: { username: "admin", password: "changeit" } });
    await assert.rejects(read(stream), db.StreamNotFoundError);
  });

  test("may not be nothing where the stream is deleted and has to exist", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    await client.deleteStream(stream);
    const credentials = { username: "admin", password: "changeit" };
    for (const options of [{}, { credentials }]) {
      await assert.rejects(client.appendToStream(stream, [], { ...expecting(STREAM_EXISTS), ...options }), (error) => {
        assert.ok(error instanceof db.StreamDeletedError, `${error.constructor.name}: ${error.message}`);
        assert.equal(error.streamName, stream);
        return true;
      });
    }
  });

  test("may be many, in parts, and many appends at once", async () => {
    const stream = fresh();
    const text = "x".repeat(10_000);
    const many = Array.from({ length: 500 }, (_, at) => jsonEvent({ type: "Many", data: { at, text } }));
    const done = await client.appendToStream(stream, many, { ...expecting(NO_STREAM), batchAppendSize: 512 * 1024 });
    assert.equal(done.nextExpectedRevision, 499n);
    const found = await read(stream);
    assert.deepEqual(found.map(({ event }) => event.data.at), many.map((_, at) => at));
    const streams = Array.from({ length: 50 }, () => fresh());
    const answers = await Promise.all(streams.map((each) => append(each, events("A", "B"), NO_STREAM)));
    assert.ok(answers.every(({ nextExpectedRevision }) => nextExpectedRevision === 1n));
  });

  test("of one stream at once, with one expectation: one wins", async () => {
    const stream = fresh();
    const tried = await Promise.allSettled(Array.from({ length: 20 }, () => append(stream, events("A"), NO_STREAM)));
    assert.equal(tried.filter(({ status }) => status === "fulfilled").length, 1);
    for (const { reason } of tried.filter(({ status }) => status === "rejected")) {
      wrongVersion(stream, NO_STREAM, 0n)(reason);
    }
    assert.equal((await read(stream)).length, 1);
  });

  test("through one call each, when credentials are given, too", async () => {
    const stream = fresh();
    const credentials = { username: "admin", password: "changeit" };
    const done = await client.appendToStream(stream, events("A"), { ...expecting(NO_STREAM), credentials });
    assert.equal(done.nextExpectedRevision, 0n);
    const failed = client.appendToStream(stream, events("A"), { ...expecting(NO_STREAM), credentials });
    await assert.rejects(failed, wrongVersion(stream, NO_STREAM, 0n));
  });

  test("of 3.5 MiB in one event is taken, and of over the limit is refused", async () => {
    const stream = fresh();
    const size = 3.5 * (1 << 20);
    const large = binaryEvent({ type: "Large", data: Buffer.alloc(size, 7) });
    assert.equal((await append(stream, [large], NO_STREAM)).nextExpectedRevision, 0n);
    const [back] = await read(stream);
    assert.equal(back.event.data.length, size);
    const tooLarge = binaryEvent({ type: "Large", data: Buffer.alloc(4.5 * (1 << 20), 7) });
    await assert.rejects(append(stream, [tooLarge], ANY), (error) => {
      assert.ok(error instanceof db.MaxAppendSizeExceededError, `${error.constructor.name}: ${error.message}`);
      return true;
    });
    assert.equal((await read(stream)).length, 1);
  });

  test("an empty type is refused, and the connection goes on", async () => {
    const stream = fresh();
    const nameless = jsonEvent({ type: "", data: {} });
    const words = /Required Metadata Property 'type' is missing/;
    // In a batch the refusal is in the answer, which these clients know by its words only; in a call of its own it is an error that they know.
    await assert.rejects(append(stream, [nameless]), words);
    const credentials = { username: "admin", password: "changeit" };
    await assert.rejects(client.appendToStream(stream, [nameless], { credentials }), missing);
    await assert.rejects(append(stream, events("A"), STREAM_EXISTS), wrongVersion(stream, STREAM_EXISTS, NO_STREAM));
    assert.equal((await append(stream, events("A"))).nextExpectedRevision, 0n);
  });

  for (const [property, given] of [["type", { "content-type": "application/json" }], ["content-type", { type: "A" }]]) {
    test(`without ${property} is refused`, async () => {
      const stream = fresh();
      const { StreamsClient, AppendReq } = service("streams");
      const { Empty, StreamIdentifier, UUID } = service("shared");
      const header = new AppendReq();
      const options = new AppendReq.Options();
      const name = new StreamIdentifier();
      name.setStreamName(Buffer.from(stream));
      options.setStreamIdentifier(name);
      options.setAny(new Empty());
      header.setOptions(options);
      const event = new AppendReq();
      const message = new AppendReq.ProposedMessage();
      const id = new UUID();
      id.setString(randomUUID());
      message.setId(id);
      for (const [key, value] of Object.entries(given)) message.getMetadataMap().set(key, value);
      message.setData(Buffer.from("{}"));
      event.setProposedMessage(message);
      await assert.rejects(send(client, StreamsClient, "append", [header, event]), (error) => {
        missing(error);
        assert.match(error.message, new RegExp(`Required Metadata Property '${property}' is missing`));
        return true;
      });
      await assert.rejects(read(stream), db.StreamNotFoundError);
    });
  }
});

describe("reading a stream", () => {
  let stream;
  before(async () => {
    stream = fresh();
    await append(stream, events("E0", "E1", "E2", "E3", "E4"));
  });
  const cases = [
    ["forwards from the start", { direction: FORWARDS, fromRevision: START }, [0, 1, 2, 3, 4]],
    ["forwards from a revision, which is included", { direction: FORWARDS, fromRevision: 2n }, [2, 3, 4]],
    ["forwards, limited", { direction: FORWARDS, fromRevision: 1n, maxCount: 2 }, [1, 2]],
    ["forwards from the last", { direction: FORWARDS, fromRevision: 4n }, [4]],
    ["forwards from behind the last", { direction: FORWARDS, fromRevision: 9n }, []],
    // The current client turns round: it reads backwards from the end and forwards from the start, whatever it is told.
    ["forwards from the end", { direction: FORWARDS, fromRevision: END }, old ? [] : [4, 3, 2, 1, 0]],
    ["backwards from the end", { direction: BACKWARDS, fromRevision: END }, [4, 3, 2, 1, 0]],
    ["backwards from a revision, which is included", { direction: BACKWARDS, fromRevision: 2n }, [2, 1, 0]],
    ["backwards, limited", { direction: BACKWARDS, fromRevision: END, maxCount: 1 }, [4]],
    ["backwards from the start", { direction: BACKWARDS, fromRevision: START }, old ? [0] : [0, 1, 2, 3, 4]],
    ["backwards from behind the last", { direction: BACKWARDS, fromRevision: 9n }, [4, 3, 2, 1, 0]],
  ];
  for (const [name, options, expected] of cases) {
    test(name, async () => assert.deepEqual(revisions(await read(stream, options)), expected));
  }

  test("that is not there", async () => {
    const missing = fresh();
    for (const direction of [FORWARDS, BACKWARDS]) {
      const fromRevision = direction === FORWARDS ? START : END;
      await assert.rejects(read(missing, { direction, fromRevision }), (error) => {
        assert.ok(error instanceof db.StreamNotFoundError, `${error.constructor.name}: ${error.message}`);
        assert.equal(error.streamName, missing);
        return true;
      });
    }
  });

  test("is not upset by a reader that goes away", async () => {
    const long = fresh();
    await append(long, events(...Array.from({ length: 500 }, () => "E")));
    for (let round = 0; round < 5; round++) assert.equal((await all(client.readStream(long), 3)).length, 3);
    assert.equal((await read(long)).length, 500);
  });

  test("gives positions that $all knows", async () => {
    const [first] = await read(stream, { maxCount: 1 });
    const [found] = await all(client.readAll({ fromPosition: first.event.position, maxCount: 1 }));
    assert.equal(found.event.id, first.event.id);
  });
});

describe("reading $all", () => {
  let stream, positions;
  before(async () => {
    stream = fresh("whole");
    await append(stream, events("E0", "E1", "E2"));
    positions = (await read(stream)).map(({ event }) => event.position);
  });
  const own = (resolved) => resolved.filter(({ event }) => event?.streamId === stream);

  test("forwards and backwards are each other's reverse", async () => {
    const ids = (found) => found.map(({ event }) => event.id);
    const forwards = await all(client.readAll({ direction: FORWARDS, fromPosition: START }));
    const backwards = await all(client.readAll({ direction: BACKWARDS, fromPosition: END }));
    assert.ok(forwards.length > 3);
    assert.deepEqual(ids(backwards), ids(forwards).reverse());
    assert.deepEqual(revisions(own(forwards)), [0, 1, 2]);
  });

  test("from a position, which is included", async () => {
    const forwards = await all(client.readAll({ direction: FORWARDS, fromPosition: positions[1] }));
    assert.deepEqual(revisions(own(forwards)), [1, 2]);
    assert.equal(forwards[0].event.position.commit, positions[1].commit);
  });

  test("backwards from a position, which is left out", async () => {
    const from = (position) => all(client.readAll({ direction: BACKWARDS, fromPosition: position }));
    assert.deepEqual(revisions(own(await from(positions[2]))), [1, 0]);
    const [nearest] = await from(positions[1]);
    assert.deepEqual([nearest.event.streamId, nearest.event.revision], [stream, 0n]);
    assert.deepEqual(revisions(own(await from(positions[0]))), []);
  });

  test("page by page, backwards, each from where the last ended: all of it once", async () => {
    for (let round = 0; round < 4; round++) await append(fresh("pages"), events(...Array.from({ length: 7 }, (_, at) => `P${at}`)));
    const ids = (found) => found.map(({ event }) => event.id);
    const whole = ids(await all(client.readAll({ direction: BACKWARDS, fromPosition: END })));
    assert.ok(whole.length > 28);
    for (const maxCount of [1, 3, 10]) {
      const pages = [];
      let fromPosition = END;
      for (;;) {
        const page = await all(client.readAll({ direction: BACKWARDS, fromPosition, maxCount }));
        pages.push(...page);
        if (page.length < maxCount) break;
        assert.equal(page.length, maxCount);
        fromPosition = page.at(-1).event.position;
      }
      assert.deepEqual(ids(pages), whole, `pages of ${maxCount}`);
    }
  });

  test("from the edges there is nothing beyond", async () => {
    // See above: the current client turns round.
    if (old) {
      assert.deepEqual(await all(client.readAll({ direction: FORWARDS, fromPosition: END })), []);
      assert.deepEqual(await all(client.readAll({ direction: BACKWARDS, fromPosition: START })), []);
    }
    assert.equal((await all(client.readAll({ maxCount: 2 }))).length, 2);
  });

  // The older client has no filter on reads.
  test("filtered by name and by type, forwards and backwards", { skip: old }, async () => {
    const { streamNameFilter, eventTypeFilter } = db;
    const category = `filter${randomUUID().slice(0, 8)}`;
    const other = fresh(category);
    await append(other, events(`${category}A`, `${category}B`, "C"));
    const filters = [
      [streamNameFilter({ prefixes: ["nobody-", `${category}-`] }), 3],
      [streamNameFilter({ regex: `^${category}-` }), 3],
      [eventTypeFilter({ prefixes: [category] }), 2],
      [eventTypeFilter({ regex: `^${category}[B-Z]$` }), 1],
      [streamNameFilter({ prefixes: [`${category}-nothing`] }), 0],
    ];
    for (const [filter, count] of filters) {
      const forwards = await all(client.readAll({ filter }));
      const backwards = await all(client.readAll({ filter, direction: BACKWARDS, fromPosition: END }));
      assert.equal(forwards.length, count, JSON.stringify(filter));
      assert.deepEqual(revisions(backwards), revisions(forwards).reverse());
    }
    const plain = await all(client.readAll({ filter: db.excludeSystemEvents() }));
    assert.ok(plain.length >= 6 && plain.every(({ event }) => !event.type.startsWith("$")));
  });
});

describe("deleting", () => {
  const notFound = (error) => error instanceof db.StreamNotFoundError;
  const deleted = (stream) => (error) => {
    assert.ok(error instanceof db.StreamDeletedError, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.streamName, stream);
    return true;
  };

  test("a stream is gone, and numbers go on when it comes back", async () => {
    for (const state of [NO_STREAM, ANY, 1n]) {
      const stream = fresh();
      await append(stream, events("A", "B"));
      const done = await client.deleteStream(stream, { expectedRevision: 1n });
      assert.ok(done.position.commit > 0n);
      await assert.rejects(read(stream), notFound);
      assert.equal((await append(stream, events("C"), state)).nextExpectedRevision, 2n);
      assert.deepEqual(revisions(await read(stream)), [2]);
      assert.deepEqual(revisions(await read(stream, { direction: BACKWARDS, fromRevision: END })), [2]);
    }
  });

  test("a deleted stream does not exist for an append that asks so", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    await client.deleteStream(stream);
    await assert.rejects(append(stream, events("B"), STREAM_EXISTS), deleted(stream));
  });

  test("it can be deleted again and again", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    for (let round = 1; round < 4; round++) {
      await client.deleteStream(stream, { expectedRevision: ANY });
      await assert.rejects(read(stream), notFound);
      assert.equal((await append(stream, events("A"))).nextExpectedRevision, BigInt(round));
    }
  });

  test("a delete that is repeated has nothing to do", async () => {
    const stream = fresh();
    await append(stream, events("A", "B"));
    await client.deleteStream(stream, { expectedRevision: 1n });
    for (const expectedRevision of [ANY, 1n]) await client.deleteStream(stream, { expectedRevision });
    await assert.rejects(client.deleteStream(stream, { expectedRevision: 0n }), db.WrongExpectedVersionError);
  });

  for (const call of ["deleteStream", "tombstoneStream"]) {
    test(`${call} judges what is expected`, async () => {
      const stream = fresh();
      await append(stream, events("A"));
      await assert.rejects(client[call](stream, { expectedRevision: 5n }), (error) => {
        assert.ok(error instanceof db.WrongExpectedVersionError, `${error.constructor.name}: ${error.message}`);
        assert.deepEqual(conflict(error), [5n, 0n]);
        return true;
      });
      await assert.rejects(client[call](stream, { expectedRevision: NO_STREAM }), db.WrongExpectedVersionError);
      assert.equal((await read(stream)).length, 1);
      await client[call](stream, { expectedRevision: 0n });
    });
  }

  test("what is not there cannot be deleted", async () => {
    for (const expectedRevision of [ANY, 3n]) {
      const stream = fresh();
      await assert.rejects(client.deleteStream(stream, { expectedRevision }), (error) => {
        assert.ok(error instanceof db.WrongExpectedVersionError, `${error.constructor.name}: ${error.message}`);
        assert.equal(error.streamName, stream);
        assert.match(error.message, new RegExp(`Stream: ${stream}, Expected version: -?\\d+, Actual version: -1`));
        return true;
      });
    }
  });

  test("nothing is appended to what was deleted, but for what is expected of it", async () => {
    const stream = fresh();
    await append(stream, events("A", "B"));
    await client.deleteStream(stream);
    for (const state of [0n, 2n]) await assert.rejects(append(stream, events("C"), state), db.WrongExpectedVersionError);
    await assert.rejects(read(stream), notFound);
  });

  test("a tombstone is for ever", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    await client.tombstoneStream(stream, { expectedRevision: 0n });
    await assert.rejects(read(stream), deleted(stream));
    await assert.rejects(read(stream, { direction: BACKWARDS, fromRevision: END }), deleted(stream));
    for (const state of [ANY, NO_STREAM, STREAM_EXISTS, 0n]) {
      await assert.rejects(append(stream, events("B"), state), deleted(stream), String(state));
    }
    await assert.rejects(client.deleteStream(stream), deleted(stream));
    await assert.rejects(client.tombstoneStream(stream), deleted(stream));
    const [last] = await all(client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 }));
    assert.equal(last.event.type, "$streamDeleted");
    assert.equal(last.event.streamId, stream);
  });

  test("what was never there can have one", async () => {
    for (const options of [{}, { expectedRevision: NO_STREAM }]) {
      const stream = fresh();
      await client.tombstoneStream(stream, options);
      await assert.rejects(append(stream, events("A")), deleted(stream));
    }
  });

  test("a deleted stream can have one", async () => {
    const stream = fresh();
    await append(stream, events("A"));
    await client.deleteStream(stream);
    await client.tombstoneStream(stream);
    await assert.rejects(read(stream), deleted(stream));
  });
});

describe("names", () => {
  test("may be any text", async () => {
    for (const stream of [`${fresh()} with blanks`, `${fresh()}-größe-高`, `${fresh()}/a?b#c%20`, `a@${fresh()}`]) {
      await append(stream, events("A"), NO_STREAM);
      assert.deepEqual(types(await read(stream)), ["A"], stream);
      await assert.rejects(append(stream, events("A"), NO_STREAM), db.WrongExpectedVersionError);
      await client.tombstoneStream(stream);
      await assert.rejects(append(stream, events("A")), db.StreamDeletedError);
    }
  });

  test("may not be empty", async () => {
    await assert.rejects(append("", events("A")));
    assert.equal((await append(fresh(), events("A"))).nextExpectedRevision, 0n);
  });
});
