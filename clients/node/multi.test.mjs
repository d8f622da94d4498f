// Appends to many streams at once, all or nothing, and with checks of streams that are not written to.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { all, connect, db, events, fresh, types } from "./client.mjs";
import { serve } from "./server.mjs";

const { jsonEvent, ANY, NO_STREAM, STREAM_EXISTS, STREAM_STATE } = db;

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
const plain = (...types) => types.map((type) => jsonEvent({ type, data: { type }, metadata: { of: type } }));

describe("a session of appends", () => {
  test("writes to all streams, in order", async () => {
    const [one, two] = [fresh(), fresh()];
    const done = await client.multiStreamAppend([
      { streamName: one, events: plain("A", "B"), expectedState: NO_STREAM },
      { streamName: two, events: plain("C"), expectedState: ANY },
    ]);
    assert.ok(done.position > 0n);
    assert.deepEqual(done.responses, [{ streamName: one, revision: 1n }, { streamName: two, revision: 0n }]);
    const [a, b] = await read(one);
    assert.deepEqual([a.event.type, b.event.type], ["A", "B"]);
    assert.deepEqual(a.event.data, { type: "A" });
    assert.equal(a.event.isJson, true);
    assert.equal(a.event.metadata.of, "A");
    assert.equal(a.event.metadata["$schema.name"], "A");
    assert.match(String(a.event.metadata["$schema.format"]), /^json$/i);
    assert.deepEqual(types(await read(two)), ["C"]);
    const exact = [{ streamName: one, events: plain("D"), expectedState: 1n }];
    assert.equal((await client.multiStreamAppend(exact)).responses[0].revision, 2n);
  });

  test("writes nothing when one stream is not as expected", async () => {
    const [one, two] = [fresh(), fresh()];
    await client.appendToStream(two, events("A"));
    const tried = client.multiStreamAppend([
      { streamName: one, events: plain("A"), expectedState: NO_STREAM },
      { streamName: two, events: plain("B"), expectedState: 7n },
    ]);
    await assert.rejects(tried, (error) => {
      assert.ok(error instanceof db.WrongExpectedVersionError, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.streamName, two);
      assert.deepEqual([error.expectedState, error.actualState], [7n, 0n]);
      return true;
    });
    await assert.rejects(read(one), db.StreamNotFoundError);
  });

  test("is refused for each expectation that does not hold, naming the stream", async () => {
    const [there, missing] = [fresh(), fresh()];
    await client.appendToStream(there, events("A", "B"));
    const cases = [
      [there, NO_STREAM, 1n],
      [there, 0n, 1n],
      [there, 5n, 1n],
      [missing, STREAM_EXISTS, NO_STREAM],
      [missing, 0n, NO_STREAM],
    ];
    for (const [stream, expected, actual] of cases) {
      const beside = fresh();
      const tried = client.multiStreamAppend([
        { streamName: beside, events: plain("X"), expectedState: ANY },
        { streamName: stream, events: plain("X"), expectedState: expected },
      ]);
      await assert.rejects(tried, (error) => {
        assert.ok(error instanceof db.WrongExpectedVersionError, `${error.constructor.name}: ${error.message}`);
        assert.deepEqual([error.streamName, error.expectedState, error.actualState], [stream, expected, actual]);
        return true;
      });
      await assert.rejects(read(beside), db.StreamNotFoundError);
    }
    assert.deepEqual(types(await read(there)), ["A", "B"]);
  });

  test("contended, one of many wins, and the others leave nothing", async () => {
    const guard = fresh();
    const others = Array.from({ length: 8 }, () => fresh());
    const tried = await Promise.allSettled(others.map((other) => client.multiStreamAppend([
      { streamName: other, events: plain("O"), expectedState: NO_STREAM },
      { streamName: guard, events: plain("G"), expectedState: NO_STREAM },
    ])));
    assert.equal(tried.filter(({ status }) => status === "fulfilled").length, 1);
    for (const [at, { status, reason }] of tried.entries()) {
      if (status === "fulfilled") {
        assert.equal((await read(others[at])).length, 1);
        continue;
      }
      assert.ok(reason instanceof db.WrongExpectedVersionError, `${reason.constructor.name}: ${reason.message}`);
      await assert.rejects(read(others[at]), db.StreamNotFoundError);
    }
    assert.equal((await read(guard)).length, 1);
  });

  test("again gives the first answer", async () => {
    const [one, two] = [fresh(), fresh()];
    const same = [
      { streamName: one, events: plain("A"), expectedState: NO_STREAM },
      { streamName: two, events: plain("B"), expectedState: NO_STREAM },
    ];
    const first = await client.multiStreamAppend(same);
    assert.deepEqual(await client.multiStreamAppend(same), first);
    assert.equal((await read(one)).length, 1);
  });

  test("to a stream with a tombstone is refused", async () => {
    const stream = fresh();
    await client.tombstoneStream(stream);
    const tried = client.multiStreamAppend([{ streamName: stream, events: plain("A"), expectedState: ANY }]);
    await assert.rejects(tried, (error) => {
      assert.ok(error instanceof db.StreamTombstonedError, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.stream, stream);
      return true;
    });
  });

  test("of too large a record, or too much in all, is refused", async () => {
    const record = (size) => jsonEvent({ type: "Large", data: "x".repeat(size) });
    const large = client.multiStreamAppend([{ streamName: fresh(), events: [record(4.5 * (1 << 20))], expectedState: ANY }]);
    await assert.rejects(large, (error) => {
      assert.ok(error instanceof db.AppendRecordSizeExceededError, `${error.constructor.name}: ${error.message}`);
      assert.ok(error.size > error.maxSize && error.maxSize > 0);
      return true;
    });
    const much = [record(3 << 20), record(3 << 20), record(3 << 20)];
    await assert.rejects(client.multiStreamAppend([{ streamName: fresh(), events: much, expectedState: ANY }]), (error) => {
      assert.ok(error instanceof db.TransactionMaxSizeExceededError, `${error.constructor.name}: ${error.message}`);
      assert.ok(error.size > error.maxSize && error.maxSize > 0);
      return true;
    });
  });

  test("to a deleted stream brings it back", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events("A"));
    await client.deleteStream(stream);
    const done = await client.multiStreamAppend([{ streamName: stream, events: plain("B"), expectedState: NO_STREAM }]);
    assert.equal(done.responses[0].revision, 1n);
    assert.deepEqual(types(await read(stream)), ["B"]);
  });
});

describe("records with checks", () => {
  const record = (streamName, type) => ({ streamName, record: plain(type)[0] });
  const check = (streamName, expectedState) => ({ type: STREAM_STATE, streamName, expectedState });

  test("are written in the order in which they are given", async () => {
    const [one, two] = [fresh(), fresh()];
    const done = await client.appendRecords([record(one, "A"), record(two, "B"), record(one, "C")]);
    assert.deepEqual(new Map(done.responses.map(({ streamName, revision }) => [streamName, revision])), new Map([[one, 1n], [two, 0n]]));
    const ours = (await all(client.readAll())).filter(({ event }) => [one, two].includes(event.streamId));
    assert.deepEqual(types(ours), ["A", "B", "C"]);
  });

  test("are written when the checks hold, of streams not written to, too", async () => {
    const [limit, orders, nobody] = [fresh(), fresh(), fresh()];
    await client.appendToStream(limit, events("A", "B"));
    await client.appendRecords([record(orders, "A")], [check(limit, 1n), check(nobody, NO_STREAM), check(orders, NO_STREAM)]);
    await client.appendRecords([record(orders, "B")], [check(limit, STREAM_EXISTS)]);
    assert.equal((await read(orders)).length, 2);
  });

  test("are refused with every check that does not hold", async () => {
    const [limit, orders, nobody] = [fresh(), fresh(), fresh()];
    await client.appendToStream(limit, events("A", "B"));
    const tried = client.appendRecords([record(orders, "A")], [check(limit, 0n), check(limit.replace("test", "other"), NO_STREAM), check(nobody, STREAM_EXISTS)]);
    await assert.rejects(tried, (error) => {
      assert.ok(error instanceof db.AppendConsistencyViolationError, `${error.constructor.name}: ${error.message}`);
      assert.deepEqual(error.violations, [
        { checkIndex: 0, streamName: limit, expectedState: 0n, actualState: 1n },
        { checkIndex: 2, streamName: nobody, expectedState: STREAM_EXISTS, actualState: NO_STREAM },
      ]);
      return true;
    });
    await assert.rejects(read(orders), db.StreamNotFoundError);
  });

  test("contended, one of many wins each round", async () => {
    const guard = fresh();
    for (let round = 0; round < 5; round++) {
      const expected = round === 0 ? NO_STREAM : BigInt(round - 1);
      const tried = await Promise.allSettled(
        Array.from({ length: 8 }, () => client.appendRecords([record(guard, "G"), record(fresh(), "O")], [check(guard, expected)])),
      );
      assert.equal(tried.filter(({ status }) => status === "fulfilled").length, 1);
    }
  });

  test("none are refused", async () => {
    await assert.rejects(client.appendRecords([], []));
  });
});
