// Appends to many streams at once, all or nothing, and with checks of streams that are not written to.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { all, connect, db, events, fresh, revisions, types } from "./client.mjs";
import { serve } from "./server.mjs";

const { jsonEvent, binaryEvent, ANY, NO_STREAM, STREAM_EXISTS, STREAM_STATE } = db;

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
const to = (streamName, expectedState, ...types) => ({ streamName, expectedState, events: plain(...types) });

/** States that only a check of a stream knows; the client has no names for them. */
const DELETED = -5n;
const TOMBSTONED = -6n;

/** The client has no error of its own for this: it shows status and words. */
function told(code, words) {
  return (error) => {
    assert.ok(error instanceof db.UnknownError, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
    return true;
  };
}
const INVALID_ARGUMENT = 3;
const FAILED_PRECONDITION = 9;

/** One stream that was deleted, at revision 1, and one that has a tombstone. */
async function gone() {
  const [deleted, tombstoned] = [fresh(), fresh()];
  for (const stream of [deleted, tombstoned]) await client.appendToStream(stream, events("A", "B"));
  await client.deleteStream(deleted);
  await client.tombstoneStream(tombstoned);
  return [deleted, tombstoned];
}

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

  test("again gives the first answer, whatever was expected, and after more was appended", async () => {
    const [exact, any, exists, none] = [fresh(), fresh(), fresh(), fresh()];
    await client.appendToStream(exact, events("A"));
    await client.appendToStream(exists, events("A"));
    const same = [to(exact, 0n, "B", "C"), to(any, ANY, "B"), to(exists, STREAM_EXISTS, "B"), to(none, NO_STREAM, "B")];
    const first = await client.multiStreamAppend(same);
    for (const stream of [exact, any, exists, none]) await client.appendToStream(stream, events("Later"));
    assert.deepEqual(await client.multiStreamAppend(same), first);
    assert.deepEqual(types(await read(exact)), ["A", "B", "C", "Later"]);
    assert.deepEqual(types(await read(any)), ["B", "Later"]);
  });

  test("again, many at once, writes it once", async () => {
    const [one, two] = [fresh(), fresh()];
    const same = [to(one, ANY, "A"), to(two, NO_STREAM, "B")];
    const answers = await Promise.all(Array.from({ length: 8 }, () => client.multiStreamAppend(same)));
    for (const answer of answers) assert.deepEqual(answer, answers[0]);
    assert.equal((await read(one)).length, 1);
    assert.equal((await read(two)).length, 1);
  });

  test("again with an event more is a conflict, and writes nothing", async () => {
    const [one, two] = [fresh(), fresh()];
    const [first, second] = [to(one, NO_STREAM, "A"), to(two, NO_STREAM, "B")];
    await client.multiStreamAppend([first, second]);
    const more = { ...second, events: [...second.events, ...plain("C")] };
    await assert.rejects(client.multiStreamAppend([first, more]), db.WrongExpectedVersionError);
    assert.deepEqual([types(await read(one)), types(await read(two))], [["A"], ["B"]]);
  });

  test("again with a stream that was not among them is a conflict, and writes nothing", async () => {
    const [one, two, other] = [fresh(), fresh(), fresh()];
    const same = [to(one, NO_STREAM, "A"), to(two, NO_STREAM, "B")];
    await client.multiStreamAppend(same);
    await assert.rejects(client.multiStreamAppend([...same, to(other, NO_STREAM, "C")]), db.WrongExpectedVersionError);
    await assert.rejects(read(other), db.StreamNotFoundError);
    assert.deepEqual([types(await read(one)), types(await read(two))], [["A"], ["B"]]);
  });

  test("is one piece in $all, in order, at the position that is told", async () => {
    const streams = Array.from({ length: 30 }, () => fresh());
    const racing = client.multiStreamAppend([to(fresh(), NO_STREAM, "R", "R")]);
    const done = await client.multiStreamAppend(streams.map((stream, at) => to(stream, NO_STREAM, `A${at}`, `B${at}`)));
    await racing;
    assert.deepEqual(done.responses, streams.map((streamName) => ({ streamName, revision: 1n })));
    const whole = await all(client.readAll());
    const first = whole.findIndex(({ event }) => event.streamId === streams[0]);
    const piece = whole.slice(first, first + 60);
    assert.deepEqual(types(piece), streams.flatMap((_, at) => [`A${at}`, `B${at}`]));
    assert.equal(piece.at(-1).event.position.commit, done.position);
  });

  test("takes bytes as well as JSON, and properties come back as metadata", async () => {
    const stream = fresh();
    const id = randomUUID();
    const bytes = binaryEvent({ id, type: "Bytes", data: Buffer.from([0, 255, 1]) });
    const json = jsonEvent({ type: "order:v1.$x_y-z", data: [1, "ü", null], metadata: { $correlationId: id, mine: "höhe" } });
    await client.multiStreamAppend([{ streamName: stream, expectedState: NO_STREAM, events: [bytes, json] }]);
    const [first, second] = (await read(stream)).map(({ event }) => event);
    assert.equal(first.id, id);
    assert.equal(first.isJson, false);
    assert.deepEqual([...first.data], [0, 255, 1]);
    assert.match(first.metadata["$schema.format"], /^bytes$/i);
    assert.equal(second.type, "order:v1.$x_y-z");
    assert.deepEqual(second.data, [1, "ü", null]);
    assert.equal(second.metadata.mine, "höhe");
    const found = await all(client.readStream(`$bc-${id}`, { resolveLinkTos: true }));
    assert.deepEqual(types(found), ["order:v1.$x_y-z"]);
  });

  test("may name a stream twice", async () => {
    const [one, two] = [fresh(), fresh()];
    const done = await client.multiStreamAppend([to(one, ANY, "A"), to(two, ANY, "B"), to(one, ANY, "C")]);
    assert.deepEqual(done.responses, [{ streamName: one, revision: 1n }, { streamName: two, revision: 0n }]);
    assert.deepEqual(types(await read(one)), ["A", "C"]);
  });

  test("takes 7 MiB in one message", async () => {
    const [one, two] = [fresh(), fresh()];
    const large = () => binaryEvent({ type: "Large", data: Buffer.alloc(3.5 * (1 << 20), 7) });
    await client.multiStreamAppend([{ streamName: one, expectedState: NO_STREAM, events: [large(), large()] }]);
    await client.appendRecords([one, two].map((streamName) => ({ streamName, record: large() })));
    assert.deepEqual((await read(one)).map(({ event }) => event.data.length), [1, 2, 3].map(() => 3.5 * (1 << 20)));
    assert.equal((await read(two)).length, 1);
  });

  test("to streams that were deleted: by what is expected of each", async () => {
    for (const [state, fits] of [[ANY, true], [NO_STREAM, true], [1n, true], [0n, false]]) {
      const [deleted] = await gone();
      const beside = fresh();
      const tried = client.multiStreamAppend([to(beside, ANY, "X"), to(deleted, state, "C")]);
      if (fits) {
        assert.equal((await tried).responses[1].revision, 2n);
        assert.deepEqual(revisions(await read(deleted)), [2]);
        continue;
      }
      await assert.rejects(tried, (error) => error instanceof db.WrongExpectedVersionError && error.streamName === deleted);
      await assert.rejects(read(beside), db.StreamNotFoundError);
    }
    const [deleted] = await gone();
    await assert.rejects(client.multiStreamAppend([to(deleted, STREAM_EXISTS, "C")]), told(FAILED_PRECONDITION, /deleted/));
  });

  test("to a stream with a tombstone, whatever is expected, writes nothing and names it", async () => {
    const [, tombstoned] = await gone();
    for (const state of [ANY, NO_STREAM, STREAM_EXISTS, 1n]) {
      const beside = fresh();
      await assert.rejects(client.multiStreamAppend([to(beside, ANY, "X"), to(tombstoned, state, "C")]), (error) => {
        assert.ok(error instanceof db.StreamTombstonedError, `${state}: ${error.constructor.name}: ${error.message}`);
        assert.equal(error.stream, tombstoned);
        return true;
      });
      await assert.rejects(read(beside), db.StreamNotFoundError);
    }
  });

  test("to a stream that has only metadata, which exists", async () => {
    const stream = fresh();
    await client.setStreamMetadata(stream, { maxCount: 5 });
    const done = await client.multiStreamAppend([to(stream, STREAM_EXISTS, "A")]);
    assert.equal(done.responses[0].revision, 0n);
  });

  test("has so many streams that have only metadata, and no more", async () => {
    const streams = Array.from({ length: 257 }, () => fresh());
    await Promise.all(streams.map((stream) => client.setStreamMetadata(stream, { maxCount: 5 })));
    const exist = streams.map((stream) => to(stream, STREAM_EXISTS, "A"));
    await assert.rejects(client.multiStreamAppend(exist), /at most 256 streams that have only metadata/);
    // One of them named often takes no more room than once.
    const often = [...exist.slice(0, 256), ...streams.slice(0, 8).map((stream) => to(stream, STREAM_EXISTS, "B"))];
    const done = await client.multiStreamAppend(often);
    assert.equal(done.responses.length, 256);
  });

  test("that says what cannot be is refused, and writes nothing", async () => {
    const beside = fresh();
    const cases = [
      ["no records", [to(fresh(), ANY)], INVALID_ARGUMENT, /record/],
      ["no name", [to("", ANY, "A")], INVALID_ARGUMENT, /name/],
      ["the name $$", [to("$$", ANY, "A")], INVALID_ARGUMENT, /name/],
      ["no type", [to(fresh(), ANY, "")], INVALID_ARGUMENT, /type|schema/],
      ["a type with a blank", [to(fresh(), ANY, "A B")], INVALID_ARGUMENT, /schema/],
      ["a type with a slash", [to(fresh(), ANY, "A/B")], INVALID_ARGUMENT, /schema/],
      ["an expectation that is none", [to(fresh(), -7n, "A")], INVALID_ARGUMENT, /-7/],
    ];
    for (const [name, requests, code, words] of cases) {
      await assert.rejects(client.multiStreamAppend([to(beside, ANY, "A"), ...requests]), told(code, words), name);
    }
    const noId = { streamName: fresh(), expectedState: ANY, events: [{ ...plain("A")[0], id: "no-id" }] };
    await assert.rejects(client.multiStreamAppend([to(beside, ANY, "A"), noId]), (error) => error.code === INVALID_ARGUMENT);
    await assert.rejects(client.multiStreamAppend([]), told(FAILED_PRECONDITION, /no append requests were sent/));
    await assert.rejects(read(beside), db.StreamNotFoundError);
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

  test("are judged by each state that a check knows", async () => {
    const [deleted, tombstoned] = await gone();
    const [missing, there] = [fresh(), fresh()];
    await client.appendToStream(there, events("A", "B"));
    // What holds of each, and what is told where a check does not hold.
    const streams = [
      [missing, [NO_STREAM], NO_STREAM],
      [there, [STREAM_EXISTS, 1n], 1n],
      [deleted, [NO_STREAM, DELETED, 1n], DELETED],
      [tombstoned, [NO_STREAM, TOMBSTONED], TOMBSTONED],
    ];
    for (const [stream, holding, actualState] of streams) {
      for (const state of [NO_STREAM, STREAM_EXISTS, DELETED, TOMBSTONED, 0n, 1n]) {
        const orders = fresh();
        const tried = client.appendRecords([record(orders, "A")], [check(stream, state)]);
        if (holding.includes(state)) {
          await tried;
          assert.equal((await read(orders)).length, 1);
          continue;
        }
        await assert.rejects(tried, (error) => {
          assert.ok(error instanceof db.AppendConsistencyViolationError, `${state}: ${error.constructor.name}: ${error.message}`);
          assert.deepEqual(error.violations, [{ checkIndex: 0, streamName: stream, expectedState: state, actualState }]);
          return true;
        });
        await assert.rejects(read(orders), db.StreamNotFoundError);
      }
    }
  });

  test("with a check that cannot be are refused", async () => {
    const [orders, limit] = [fresh(), fresh()];
    const refused = [
      ["anything", [check(limit, ANY)]],
      ["what is no state", [check(limit, -3n)]],
      ["a stream twice", [check(limit, NO_STREAM), check(limit, NO_STREAM)]],
      ["a stream twice, in capitals", [check(limit, NO_STREAM), check(limit.toUpperCase(), NO_STREAM)]],
      ["no name", [check("", NO_STREAM)]],
    ];
    for (const [name, checks] of refused) {
      await assert.rejects(client.appendRecords([record(orders, "A")], checks), (error) => error.code === INVALID_ARGUMENT, name);
    }
    await assert.rejects(client.appendRecords([], [check(limit, NO_STREAM)]), told(INVALID_ARGUMENT, /record/));
    await assert.rejects(read(orders), db.StreamNotFoundError);
  });

  test("again give the first answer, though the checks hold no more", async () => {
    const [guard, orders] = [fresh(), fresh()];
    const [records, checks] = [[record(orders, "A"), record(guard, "B")], [check(guard, NO_STREAM)]];
    const first = await client.appendRecords(records, checks);
    await client.appendToStream(orders, events("Later"));
    assert.deepEqual(await client.appendRecords(records, checks), first);
    assert.deepEqual([types(await read(orders)), types(await read(guard))], [["A", "Later"], ["B"]]);
    await assert.rejects(client.appendRecords([record(orders, "C")], checks), db.AppendConsistencyViolationError);
  });

  test("hold of a stream that has only metadata that it exists", async () => {
    const [stream, orders] = [fresh(), fresh()];
    await client.setStreamMetadata(stream, { maxCount: 5 });
    await client.appendRecords([record(orders, "A")], [check(stream, STREAM_EXISTS)]);
    assert.equal((await read(orders)).length, 1);
  });

  test("to a stream with a tombstone are refused, all of them", async () => {
    const [, tombstoned] = await gone();
    const beside = fresh();
    await assert.rejects(client.appendRecords([record(beside, "A"), record(tombstoned, "B")]), (error) => {
      assert.ok(error instanceof db.StreamTombstonedError, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.stream, tombstoned);
      return true;
    });
    await assert.rejects(read(beside), db.StreamNotFoundError);
  });

  test("of too large a record, or too much in all, are refused", async () => {
    const [one, two] = [fresh(), fresh()];
    const large = (streamName, size) => ({ streamName, record: jsonEvent({ type: "Large", data: "x".repeat(size) }) });
    const over = large(two, 4.5 * (1 << 20));
    await assert.rejects(client.appendRecords([large(one, 1), over]), (error) => {
      assert.ok(error instanceof db.AppendRecordSizeExceededError, `${error.constructor.name}: ${error.message}`);
      assert.deepEqual([error.stream, error.recordId], [two, over.record.id]);
      assert.ok(error.size > error.maxSize && error.maxSize > 0);
      return true;
    });
    await assert.rejects(client.appendRecords([one, two, one].map((each) => large(each, 3 << 20))), (error) => {
      assert.ok(error instanceof db.TransactionMaxSizeExceededError, `${error.constructor.name}: ${error.message}`);
      assert.ok(error.size > error.maxSize && error.maxSize > 0);
      return true;
    });
    for (const each of [one, two]) await assert.rejects(read(each), db.StreamNotFoundError);
  });
});
