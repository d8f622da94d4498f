// Who may connect over TLS, and who may do what: the default users, access control lists of streams, and who stays outside.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { all, collect, connectTo, db, events, expecting, fresh, old, soon, types, until } from "./client.mjs";
import { freePort, serve } from "./server.mjs";

const { START, END, BACKWARDS, NO_STREAM } = db;
const admin = { username: "admin", password: "changeit" };
const ops = { username: "ops", password: "changeit" };

let server, ca, client, nobody;
before(async () => {
  ca = join(await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "ca-")), "ca.pem");
  server = await serve(["--dev", "--write-ca", ca]);
  client = connectTo(`//admin:changeit@${address()}?tlsCAFile=${ca}`);
  nobody = connectTo(`//${address()}?tlsCAFile=${ca}`);
});
after(async () => {
  await client?.dispose();
  await nobody?.dispose();
  await server?.stop();
});

const address = () => `127.0.0.1:${server.port}`;
const read = (from, stream, options) => all(from.readStream(stream, options));

function denied(error) {
  assert.ok(error instanceof db.AccessDeniedError, `${error.constructor.name}: ${error.message}`);
  return true;
}

describe("over TLS", () => {
  test("with the authority of the server", async () => {
    const stream = fresh();
    assert.equal((await client.appendToStream(stream, events("A"), expecting(NO_STREAM))).nextExpectedRevision, 0n);
    assert.deepEqual(types(await read(client, stream)), ["A"]);
    const seen = collect(client.subscribeToStream(stream, { fromRevision: START }));
    await seen.first(1);
  });

  // The older client always looks.
  test("without looking at the certificate", { skip: old }, async () => {
    const careless = connectTo(`//admin:changeit@${address()}?tlsVerifyCert=false`);
    const stream = fresh();
    await careless.appendToStream(stream, events("A"));
    assert.equal((await read(careless, stream)).length, 1);
    await careless.dispose();
  });

  // The older client tries for ever; see below.
  test("not with the authority of another server", { skip: old }, async () => {
    const wrong = `${ca}.wrong`;
    const other = await serve(["--dev", "--write-ca", wrong]);
    try {
      assert.notEqual(await readFile(wrong, "utf8"), await readFile(ca, "utf8"));
      const theirs = connectTo(`//admin:changeit@127.0.0.1:${other.port}?tlsCAFile=${wrong}`);
      await theirs.appendToStream(fresh(), events("A"));
      await theirs.dispose();
      const stranger = connectTo(`//admin:changeit@${address()}?tlsCAFile=${wrong}&defaultDeadline=3000&maxDiscoverAttempts=1`);
      const stream = fresh();
      await assert.rejects(soon(stranger.appendToStream(stream, events("A")), "an answer"), /UNAVAILABLE.*certificate/);
      await assert.rejects(soon(read(stranger, stream), "an answer"), (error) => {
        assert.ok(error instanceof db.UnavailableError, `${error.constructor.name}: ${error.message}`);
        return true;
      });
      await stranger.dispose();
      await assert.rejects(read(client, stream), db.StreamNotFoundError);
    } finally {
      await other.stop();
    }
  });

  // The older client tries for ever, and so busily that nothing else is done.
  test("not with an unknown authority, and not without TLS", { skip: old }, async () => {
    for (const options of ["tls=true", "tls=false"]) {
      const stranger = connectTo(`//admin:changeit@${address()}?${options}&defaultDeadline=3000&maxDiscoverAttempts=1`);
      await assert.rejects(soon(stranger.appendToStream(fresh(), events("A")), "an answer"));
      await assert.rejects(soon(read(stranger, fresh()), "an answer"));
      await stranger.dispose();
    }
    await client.appendToStream(fresh(), events("A"));
  });

  test("found by gossip", async () => {
    const found = connectTo(`${old ? "esdb" : "kurrentdb"}+discover://admin:changeit@${address()}?tlsCAFile=${ca}`);
    const stream = fresh();
    await found.appendToStream(stream, events("A"));
    assert.equal((await read(found, stream)).length, 1);
    await found.dispose();
  });
});

describe("a node", () => {
  /** Appends and reads, for a leader only, too. */
  async function works(found) {
    const stream = fresh();
    await found.appendToStream(stream, events("A"), { requiresLeader: true });
    assert.equal((await read(found, stream, { requiresLeader: true })).length, 1);
    const seen = collect(found.subscribeToStream(stream, { fromRevision: START }));
    await seen.first(1);
    await found.dispose();
  }

  test("is found among addresses that are dead", async () => {
    const dead = await freePort();
    await works(connectTo(`//admin:changeit@127.0.0.1:${dead},${address()}?tlsCAFile=${ca}&discoveryInterval=50&maxDiscoverAttempts=10`));
  });

  for (const preference of ["leader", "follower", "random"]) {
    test(`is the one that there is, for who prefers: ${preference}`, async () => {
      await works(connectTo(`${old ? "esdb" : "kurrentdb"}+discover://admin:changeit@${address()}?tlsCAFile=${ca}&nodePreference=${preference}`));
    });
  }

  test("is found without TLS", async () => {
    const open = await serve();
    try {
      await works(connectTo(`${old ? "esdb" : "kurrentdb"}+discover://127.0.0.1:${open.port}?tls=false`));
    } finally {
      await open.stop();
    }
  });
});

describe("credentials", () => {
  test("that are wrong are refused", async () => {
    for (const wrong of ["admin:wrong", "nobody:changeit"]) {
      const other = connectTo(`//${wrong}@${address()}?tlsCAFile=${ca}`);
      await assert.rejects(other.appendToStream(fresh(), events("A")), denied);
      await assert.rejects(read(other, fresh()), denied);
      await other.dispose();
    }
  });

  test("of a call go before those of the connection", async () => {
    const stream = fresh();
    await nobody.appendToStream(stream, events("A"), { credentials: admin });
    assert.equal((await read(nobody, stream, { credentials: ops })).length, 1);
    const wrong = { username: "admin", password: "wrong" };
    await assert.rejects(client.appendToStream(stream, events("A"), { credentials: wrong }), denied);
    await assert.rejects(read(client, stream, { credentials: wrong }), denied);
  });

  if (!old) {
    test("may come from a function, which is asked for each call", async () => {
      const asking = connectTo(`//${address()}?tlsCAFile=${ca}`);
      const stream = fresh();
      let given = admin;
      asking.setCredentialsProvider(async () => given);
      await client.appendToStream(stream, events("A"));
      assert.equal((await read(asking, stream)).length, 1);
      await asking.setStreamMetadata(stream, { maxCount: 5 });
      given = { username: "admin", password: "wrong" };
      await assert.rejects(read(asking, stream), denied);
      await assert.rejects(asking.setStreamMetadata(stream, { maxCount: 5 }), denied);
      given = ops;
      assert.equal((await read(asking, stream)).length, 1);
      await asking.dispose();
    });
  }

  test("are needed", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events("A"));
    await assert.rejects(nobody.appendToStream(stream, events("A")), denied);
    await assert.rejects(read(nobody, stream), denied);
    await assert.rejects(all(nobody.readAll({ maxCount: 1 })), denied);
    await assert.rejects(nobody.deleteStream(stream), denied);
    await assert.rejects(nobody.tombstoneStream(stream), denied);
    await assert.rejects(nobody.setStreamMetadata(stream, { maxCount: 1 }), denied);
    const seen = collect(nobody.subscribeToStream(stream, { fromRevision: START }));
    denied(await until(() => seen.error, "the refusal"));
    assert.equal((await read(client, stream)).length, 1);
  });
});

describe("what is the system's", () => {
  test("is for administrators: $all and system streams", async () => {
    assert.ok((await all(client.readAll({ maxCount: 1 }))).length === 1);
    await assert.rejects(all(client.readAll({ maxCount: 1, credentials: ops })), denied);
    const seen = collect(client.subscribeToAll({ fromPosition: END, credentials: ops }));
    denied(await until(() => seen.error, "the refusal"));
    await assert.rejects(client.appendToStream("$mine", events("A"), { credentials: ops }), denied);
    await assert.rejects(read(client, "$users", { credentials: ops }), denied);
  });

  test("is for every user where it is made of others: $ce- and its like", async () => {
    const category = `category${randomUUID().slice(0, 8)}`;
    await client.appendToStream(`${category}-1`, events("Happened"));
    for (const stream of [`$ce-${category}`, "$et-Happened", "$streams"]) {
      const [found] = await read(client, stream, { maxCount: 1, resolveLinkTos: true, credentials: ops });
      assert.ok(found.link, stream);
    }
    await assert.rejects(read(client, "$et-$UserCreated", { maxCount: 1, credentials: ops }), denied);
  });

  test("tells the users", async () => {
    const found = await read(client, "$users");
    assert.deepEqual(found.map(({ event }) => event.type), found.map(() => "$User"));
    assert.ok(found.length >= 2);
    const [last] = await read(client, "$user-admin", { direction: BACKWARDS, fromRevision: END, maxCount: 1 });
    assert.equal(last.event.data.login ?? last.event.data.loginName, "admin");
    assert.ok(!JSON.stringify(last.event.data).includes("changeit"));
  });
});

describe("a stream's access control list", () => {
  test("keeps out who is not on it, for each thing that can be done", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events("A"));
    const acl = { readRoles: ["admin"], writeRoles: ["admin"], deleteRoles: ["admin"], metaReadRoles: ["admin"], metaWriteRoles: ["admin"] };
    assert.equal((await read(client, stream, { credentials: ops })).length, 1);
    await client.setStreamMetadata(stream, { acl });
    const credentials = ops;
    await assert.rejects(read(client, stream, { credentials }), denied);
    await assert.rejects(client.appendToStream(stream, events("B"), { credentials }), denied);
    await assert.rejects(client.deleteStream(stream, { credentials }), denied);
    await assert.rejects(client.tombstoneStream(stream, { credentials }), denied);
    await assert.rejects(client.getStreamMetadata(stream, { credentials }), denied);
    await assert.rejects(client.setStreamMetadata(stream, {}, { credentials }), denied);
    const seen = collect(client.subscribeToStream(stream, { fromRevision: START, credentials }));
    denied(await until(() => seen.error, "the refusal"));
    assert.equal((await read(client, stream)).length, 1);
  });

  test("lets in who is on it, and every user when it says so", async () => {
    const stream = fresh();
    await client.appendToStream(stream, events("A"));
    await client.setStreamMetadata(stream, { acl: { readRoles: ["$all"], writeRoles: ["ops"], deleteRoles: ["$admins"], metaReadRoles: [], metaWriteRoles: [] } });
    assert.equal((await read(client, stream, { credentials: ops })).length, 1);
    await assert.rejects(read(nobody, stream), denied);
    await client.appendToStream(stream, events("B"), { credentials: ops });
    await assert.rejects(client.deleteStream(stream, { credentials: ops }), denied);
    await assert.rejects(nobody.appendToStream(stream, events("C")), denied);
  });

  if (!old) {
    test("holds for appends to many streams", async () => {
      const [one, two] = [fresh(), fresh()];
      await client.setStreamMetadata(two, { acl: { writeRoles: ["ops"], readRoles: ["$all"] } });
      const plain = (type) => db.jsonEvent({ type, data: {} });
      const asNobody = nobody.multiStreamAppend([{ streamName: one, events: [plain("A")], expectedState: "any" }]);
      await assert.rejects(asNobody, denied);
      await assert.rejects(nobody.appendRecords([{ streamName: one, record: plain("A") }]), denied);
      await assert.rejects(read(client, one), db.StreamNotFoundError);
    });
  }
});

test("a server may let in those without a name, where a list does not say otherwise", async () => {
  const open = await serve(["--dev", "--allow-anonymous", "--write-ca", `${ca}.open`]);
  const [named, unnamed] = ["admin:changeit@", ""].map((who) => connectTo(`//${who}127.0.0.1:${open.port}?tlsCAFile=${ca}.open`));
  try {
    const [stream, closed] = [fresh(), fresh()];
    await unnamed.appendToStream(stream, events("A"));
    assert.equal((await read(unnamed, stream)).length, 1);
    await named.setStreamMetadata(closed, { acl: { readRoles: ["ops"], writeRoles: ["ops"] } });
    await assert.rejects(unnamed.appendToStream(closed, events("A")), denied);
    await assert.rejects(all(unnamed.readAll({ maxCount: 1 })), denied);
  } finally {
    await named.dispose();
    await unnamed.dispose();
    await open.stop();
  }
});

test("users and lists are there after a restart", async () => {
  const stream = fresh();
  await client.setStreamMetadata(stream, { acl: { readRoles: ["admin"], writeRoles: ["admin"] } });
  await client.appendToStream(stream, events("A"));
  await server.kill();
  await server.start();
  // The server makes a new certificate each time it starts, and writes its authority anew.
  const later = connectTo(`//admin:changeit@${address()}?tlsCAFile=${ca}`);
  assert.equal((await read(later, stream)).length, 1);
  await assert.rejects(read(later, stream, { credentials: ops }), denied);
  await later.dispose();
});
