// Who may do what with persistent subscriptions, with many streams at once and with each thing that a list of a stream says; defaults of the lists.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { all, collect, connectTo, db, events, expecting, fresh, old, types, until } from "./client.mjs";
import { serve } from "./server.mjs";
import { call, service } from "./stubs.mjs";

const { START, PARK, NO_STREAM, ANY, STREAM_STATE } = db;
const forStream = (settings) => db.persistentSubscriptionToStreamSettingsFromDefaults({ startFrom: START, ...settings });
const forAll = (settings) => db.persistentSubscriptionToAllSettingsFromDefaults({ startFrom: START, ...settings });
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

let ca, server, admin, ops, anna, nobody;
before(async () => {
  ca = join(await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "ca-")), "ca.pem");
  server = await serve(["--dev", "--write-ca", ca]);
  admin = as("admin:changeit@");
  await createUser(admin, "anna");
  [ops, anna, nobody] = ["ops:changeit@", "anna:secret@", ""].map((who) => as(who));
});
after(async () => {
  for (const client of [admin, ops, anna, nobody]) await client?.dispose();
  assert.equal(await server?.stop(), 0);
});

/** A client by `user:password@`, or nothing. */
function as(who, at = server, authority = ca) {
  return connectTo(`//${who}127.0.0.1:${at.port}?tlsCAFile=${authority}`);
}

/** A user in no group. */
async function createUser(client, login) {
  const { UsersClient, CreateReq } = service("users");
  const options = new CreateReq.Options();
  options.setLoginName(login);
  options.setPassword("secret");
  options.setFullName(login);
  const request = new CreateReq();
  request.setOptions(options);
  await call(client, UsersClient, "create", request);
}

const read = (from, stream, options) => all(from.readStream(stream, options));
const name = () => `group-${randomUUID().slice(0, 8)}`;

/** Refused, as the client's own error, and with the status that says whether anybody was known. */
function denied(code) {
  return (error) => {
    assert.ok(error instanceof db.AccessDeniedError, `${error.constructor.name}: ${error.message}`);
    assert.equal(error.type, "access-denied");
    assert.equal(error.code, code);
    return true;
  };
}

/** Those who are told no, and how. */
const outsiders = () => [["a user", anna, denied(PERMISSION_DENIED)], ["nobody", nobody, denied(UNAUTHENTICATED)]];

/** A stream with these events and a group over it. */
async function grouped(settings = {}, ...given) {
  const [stream, group] = [fresh(), name()];
  if (given.length > 0) await admin.appendToStream(stream, events(...given));
  await ops.createPersistentSubscriptionToStream(stream, group, forStream(settings));
  return [stream, group];
}

/** The refusal that ends a consumer. */
async function refused(subscription) {
  const seen = collect(subscription);
  const error = await until(() => seen.error, "the refusal");
  assert.equal(seen.events.length, 0);
  return error;
}

describe("persistent subscriptions", () => {
  test("are made, changed and deleted by operators and administrators", async () => {
    for (const client of [admin, ops]) {
      const [stream, group] = [fresh(), name()];
      await client.createPersistentSubscriptionToStream(stream, group, forStream());
      await client.updatePersistentSubscriptionToStream(stream, group, forStream({ maxRetryCount: 3 }));
      assert.equal((await client.getPersistentSubscriptionToStreamInfo(stream, group)).settings.maxRetryCount, 3);
      await client.replayParkedMessagesToStream(stream, group);
      await client.deletePersistentSubscriptionToStream(stream, group);
      await client.createPersistentSubscriptionToAll(group, forAll());
      await client.updatePersistentSubscriptionToAll(group, forAll({ maxRetryCount: 3 }));
      await client.replayParkedMessagesToAll(group);
      await client.deletePersistentSubscriptionToAll(group);
    }
  });

  test("are not made, changed, deleted or replayed by others, and nothing is changed", async () => {
    const [stream, group] = await grouped({ maxRetryCount: 5 }, "A");
    const ofAll = name();
    await ops.createPersistentSubscriptionToAll(ofAll, forAll({ maxRetryCount: 5 }));
    const holder = ops.subscribeToPersistentSubscriptionToStream(stream, group);
    const [event] = await collect(holder).first(1);
    await holder.nack(PARK, "later", event);
    const parked = async () => (await ops.getPersistentSubscriptionToStreamInfo(stream, group)).stats.parkedMessageCount === 1n;
    await until(parked, "it is parked");
    await holder.unsubscribe();
    const before = (await admin.listAllPersistentSubscriptions()).length;
    for (const [who, client, is] of outsiders()) {
      await assert.rejects(client.createPersistentSubscriptionToStream(fresh(), name(), forStream()), is, who);
      await assert.rejects(client.createPersistentSubscriptionToAll(name(), forAll()), is, who);
      await assert.rejects(client.updatePersistentSubscriptionToStream(stream, group, forStream({ maxRetryCount: 9 })), is, who);
      await assert.rejects(client.updatePersistentSubscriptionToAll(ofAll, forAll({ maxRetryCount: 9 })), is, who);
      await assert.rejects(client.replayParkedMessagesToStream(stream, group), is, who);
      await assert.rejects(client.replayParkedMessagesToAll(ofAll), is, who);
      await assert.rejects(client.deletePersistentSubscriptionToStream(stream, group), is, who);
      await assert.rejects(client.deletePersistentSubscriptionToAll(ofAll), is, who);
      await assert.rejects(client.restartPersistentSubscriptionSubsystem(), is, who);
    }
    assert.equal((await admin.listAllPersistentSubscriptions()).length, before);
    const told = await admin.getPersistentSubscriptionToStreamInfo(stream, group);
    assert.deepEqual([told.settings.maxRetryCount, told.stats.parkedMessageCount], [5, 1n]);
    assert.equal((await admin.getPersistentSubscriptionToAllInfo(ofAll)).settings.maxRetryCount, 5);
  });

  test("are restarted by operators and administrators", async () => {
    for (const client of [admin, ops]) await client.restartPersistentSubscriptionSubsystem();
  });

  test("are told and listed to every user, and to nobody else", async () => {
    const [stream, group] = await grouped();
    const ofAll = name();
    await ops.createPersistentSubscriptionToAll(ofAll, forAll());
    for (const client of [admin, ops, anna]) {
      assert.equal((await client.getPersistentSubscriptionToStreamInfo(stream, group)).groupName, group);
      assert.equal((await client.getPersistentSubscriptionToAllInfo(ofAll)).groupName, ofAll);
      assert.deepEqual((await client.listPersistentSubscriptionsToStream(stream)).map(({ groupName }) => groupName), [group]);
      assert.ok((await client.listPersistentSubscriptionsToAll()).some(({ groupName }) => groupName === ofAll));
      assert.ok((await client.listAllPersistentSubscriptions()).some(({ groupName }) => groupName === group));
    }
    const is = denied(UNAUTHENTICATED);
    await assert.rejects(nobody.getPersistentSubscriptionToStreamInfo(stream, group), is);
    await assert.rejects(nobody.getPersistentSubscriptionToAllInfo(ofAll), is);
    await assert.rejects(nobody.listPersistentSubscriptionsToStream(stream), is);
    await assert.rejects(nobody.listPersistentSubscriptionsToAll(), is);
    await assert.rejects(nobody.listAllPersistentSubscriptions(), is);
  });

  test("are consumed by whoever may read the stream, under the name that is told", async () => {
    const [stream, group] = await grouped({}, "A");
    denied(UNAUTHENTICATED)(await refused(nobody.subscribeToPersistentSubscriptionToStream(stream, group)));
    for (const [login, client] of [["anna", anna], ["ops", ops], ["admin", admin]]) {
      const subscription = client.subscribeToPersistentSubscriptionToStream(stream, group);
      const seen = collect(subscription);
      subscription.on("data", (resolved) => subscription.ack(resolved));
      await until(() => seen.confirmed, "confirmed");
      const { connections } = await admin.getPersistentSubscriptionToStreamInfo(stream, group);
      assert.deepEqual(connections.map(({ username }) => username), [login]);
      if (login === "anna") assert.deepEqual(types(await seen.first(1)), ["A"]);
      await subscription.unsubscribe();
      const gone = async () => (await admin.getPersistentSubscriptionToStreamInfo(stream, group)).connections.length === 0;
      await until(gone, "nobody is left");
    }
  });

  test("are not consumed by who may not read the stream, whoever made them", async () => {
    const [stream, group] = await grouped({}, "A");
    await admin.setStreamMetadata(stream, { acl: { readRoles: ["anna"] } });
    denied(PERMISSION_DENIED)(await refused(ops.subscribeToPersistentSubscriptionToStream(stream, group)));
    const subscription = anna.subscribeToPersistentSubscriptionToStream(stream, group);
    assert.deepEqual(types(await collect(subscription).first(1)), ["A"]);
    await subscription.unsubscribe();
  });

  test("of $all and of system streams are consumed by administrators", async () => {
    const [group, stream] = [name(), `$system-${randomUUID().slice(0, 8)}`];
    await admin.appendToStream(stream, events("A"));
    await ops.createPersistentSubscriptionToAll(group, forAll());
    await ops.createPersistentSubscriptionToStream(stream, group, forStream());
    for (const [client, code] of [[ops, PERMISSION_DENIED], [anna, PERMISSION_DENIED], [nobody, UNAUTHENTICATED]]) {
      denied(code)(await refused(client.subscribeToPersistentSubscriptionToAll(group)));
      denied(code)(await refused(client.subscribeToPersistentSubscriptionToStream(stream, group)));
    }
    const whole = admin.subscribeToPersistentSubscriptionToAll(group);
    await collect(whole).first(1);
    const one = admin.subscribeToPersistentSubscriptionToStream(stream, group);
    assert.deepEqual(types(await collect(one).first(1)), ["A"]);
    await whole.unsubscribe();
    await one.unsubscribe();
  });

  test("with the credentials of a call, right ones and wrong ones", async () => {
    const [stream, group] = [fresh(), name()];
    const credentials = { username: "ops", password: "changeit" };
    const wrong = { credentials: { username: "ops", password: "wrong" } };
    const is = denied(UNAUTHENTICATED);
    await assert.rejects(admin.createPersistentSubscriptionToStream(stream, group, forStream(), wrong), is);
    await nobody.createPersistentSubscriptionToStream(stream, group, forStream(), { credentials });
    await assert.rejects(admin.getPersistentSubscriptionToStreamInfo(stream, group, wrong), is);
    is(await refused(admin.subscribeToPersistentSubscriptionToStream(stream, group, wrong)));
    const subscription = nobody.subscribeToPersistentSubscriptionToStream(stream, group, { credentials });
    const seen = collect(subscription);
    await until(() => seen.confirmed, "confirmed");
    await subscription.unsubscribe();
    await assert.rejects(admin.deletePersistentSubscriptionToStream(stream, group, wrong), is);
    await nobody.deletePersistentSubscriptionToStream(stream, group, { credentials });
  });
});

describe("a stream's list, one thing closed to all but administrators:", () => {
  const stream = {
    readRoles: fresh("closed"),
    writeRoles: fresh("closed"),
    deleteRoles: fresh("closed"),
    metaReadRoles: fresh("closed"),
    metaWriteRoles: fresh("closed"),
  };
  // The deletion comes last: it ends the stream.
  const things = [
    ["reading", "readRoles", (client, at) => read(client, at)],
    ["reading backwards", "readRoles", (client, at) => read(client, at, { direction: db.BACKWARDS, fromRevision: db.END })],
    ["writing, in a batch", "writeRoles", (client, at) => client.appendToStream(at, events("B"))],
    ["writing, in a call", "writeRoles", (client, at) => client.appendToStream(at, events("B"), { credentials: { username: "anna", password: "secret" } })],
    ["reading metadata", "metaReadRoles", (client, at) => client.getStreamMetadata(at)],
    ["reading $$", "metaReadRoles", (client, at) => read(client, `$$${at}`)],
    ["writing metadata", "metaWriteRoles", (client, at) => client.setStreamMetadata(at, { acl: everyone(at) })],
    ["deleting", "deleteRoles", (client, at) => client.deleteStream(at)],
  ];
  const everyone = (at) => Object.fromEntries(Object.entries(stream).map(([thing, each]) => [thing, at === each ? ["$admins"] : ["$all"]]));

  for (const closed of Object.keys(stream)) {
    test(closed, async () => {
      const at = stream[closed];
      await admin.appendToStream(at, events("A"));
      await admin.setStreamMetadata(at, { acl: everyone(at) });
      for (const [what, thing, attempt] of things) {
        if (thing === closed) {
          await assert.rejects(attempt(anna, at), (error) => {
            assert.ok(error instanceof db.AccessDeniedError, `${what}: ${error.constructor.name}: ${error.message}`);
            return true;
          }, what);
        } else {
          await attempt(anna, at);
        }
      }
      if (closed === "deleteRoles") assert.ok((await read(admin, at)).length >= 1);
      else await assert.rejects(read(admin, at), db.StreamNotFoundError);
    });
  }
});

test("a stream's list may name one role as text, and takes effect at once", async () => {
  const stream = fresh();
  await admin.appendToStream(stream, events("A"));
  const set = ($acl) => admin.appendToStream(`$$${stream}`, [db.jsonEvent({ type: "$metadata", data: { $acl } })]);
  const closed = (error) => error instanceof db.AccessDeniedError;
  await set({ $r: "anna", $w: "$ops" });
  assert.equal((await read(anna, stream)).length, 1);
  await assert.rejects(read(ops, stream), closed);
  await assert.rejects(anna.appendToStream(stream, events("B")), closed);
  await ops.appendToStream(stream, events("B"));
  await set({ $r: ["$ops", "$admins"] });
  await assert.rejects(read(anna, stream), closed);
  assert.equal((await read(ops, stream)).length, 2);
  await set({});
  assert.equal((await read(anna, stream)).length, 2);
});

test("an append in a batch that is refused does not end the batch", async () => {
  const [closed, open] = [fresh(), fresh()];
  await admin.setStreamMetadata(closed, { acl: { writeRoles: ["admin"] } });
  const tried = await Promise.allSettled([
    anna.appendToStream(open, events("A"), expecting(NO_STREAM)),
    anna.appendToStream(closed, events("A")),
    anna.appendToStream(open, events("B"), expecting(0n)),
  ]);
  assert.deepEqual(tried.map(({ status }) => status), ["fulfilled", "rejected", "fulfilled"]);
  const { reason } = tried[1];
  assert.ok(reason instanceof db.AccessDeniedError, `${reason.constructor.name}: ${reason.message}`);
  await assert.rejects(read(admin, closed), db.StreamNotFoundError);
});

test("who has no name may ask what the server can do, and where it is", async () => {
  const { Empty } = service("shared");
  const { ServerFeaturesClient } = service("features");
  const told = (await call(nobody, ServerFeaturesClient, "getSupportedMethods", new Empty())).toObject();
  assert.ok(told.methodsList.length > 0);
  const found = connectTo(`${old ? "esdb" : "kurrentdb"}+discover://127.0.0.1:${server.port}?tlsCAFile=${ca}`);
  // Found, and only then refused.
  await assert.rejects(found.appendToStream(fresh(), events("A")), (error) => error instanceof db.AccessDeniedError);
  await found.dispose();
});

if (!old) {
  describe("many streams at once", () => {
    const plain = (type) => db.jsonEvent({ type, data: {} });
    const to = (streamName, expectedState = ANY) => ({ streamName, events: [plain("X")], expectedState });
    const record = (streamName) => ({ streamName, record: plain("X") });
    /** The client has no error of its own for this: it shows status and words. */
    const refusal = (stream) => (error) => {
      assert.ok(error instanceof db.UnknownError, `${error.constructor.name}: ${error.message}`);
      assert.equal(error.code, PERMISSION_DENIED);
      assert.match(error.message, /denied/i);
      assert.ok(error.message.includes(stream), error.message);
      return true;
    };

    test("are written by who may write each; nothing where one is closed", async () => {
      const [open, closed] = [fresh(), fresh()];
      await admin.setStreamMetadata(closed, { acl: { readRoles: ["$all"], writeRoles: ["ops"] } });
      for (const order of [[to(open), to(closed)], [to(closed), to(open)]]) {
        await assert.rejects(anna.multiStreamAppend(order), refusal(closed));
      }
      await assert.rejects(anna.appendRecords([record(open), record(closed)]), refusal(closed));
      for (const each of [open, closed]) await assert.rejects(read(admin, each), db.StreamNotFoundError);
      await ops.multiStreamAppend([to(open), to(closed)]);
      await ops.appendRecords([record(open), record(closed)]);
      for (const each of [open, closed]) assert.equal((await read(admin, each)).length, 2);
    });

    test("are not written by who may not, whatever is expected of them", async () => {
      const closed = fresh();
      await admin.setStreamMetadata(closed, { acl: { readRoles: ["ops"], writeRoles: ["ops"] } });
      // A conflict would tell what is there.
      for (const state of [NO_STREAM, 0n, 7n]) await assert.rejects(anna.multiStreamAppend([to(closed, state)]), refusal(closed));
    });

    test("of the system's are written by administrators", async () => {
      const [open, system] = [fresh(), `$mine-${randomUUID().slice(0, 8)}`];
      await assert.rejects(ops.multiStreamAppend([to(open), to(system)]), refusal(system));
      await assert.rejects(ops.appendRecords([record(system)]), refusal(system));
      await assert.rejects(read(admin, open), db.StreamNotFoundError);
      await admin.multiStreamAppend([to(open), to(system)]);
      assert.equal((await read(admin, system)).length, 1);
    });

    test("are checked by who may read them", async () => {
      const [open, secret] = [fresh(), fresh()];
      await admin.appendToStream(secret, events("A"));
      await admin.setStreamMetadata(secret, { acl: { readRoles: ["ops"], writeRoles: ["$all"] } });
      const check = (expectedState) => [{ type: STREAM_STATE, streamName: secret, expectedState }];
      // Whether the check holds is not told either.
      for (const state of [0n, 5n]) await assert.rejects(anna.appendRecords([record(open)], check(state)), refusal(secret));
      await assert.rejects(read(admin, open), db.StreamNotFoundError);
      await ops.appendRecords([record(open)], check(0n));
      await assert.rejects(ops.appendRecords([record(open)], check(5n)), db.AppendConsistencyViolationError);
      assert.equal((await read(admin, open)).length, 1);
    });

    test("are not written by nobody, or with a wrong password", async () => {
      const open = fresh();
      const wrong = as("admin:wrong@");
      for (const client of [nobody, wrong]) {
        await assert.rejects(client.multiStreamAppend([to(open)]), denied(UNAUTHENTICATED));
        await assert.rejects(client.appendRecords([record(open)]), denied(UNAUTHENTICATED));
      }
      await wrong.dispose();
      await assert.rejects(read(admin, open), db.StreamNotFoundError);
    });
  });
}

test("$settings say who may where a stream has no list of its own", async () => {
  const authority = `${ca}.settings`;
  const other = await serve(["--dev", "--write-ca", authority]);
  const clients = ["admin:changeit@", "ops:changeit@"].map((who) => as(who, other, authority));
  const [first, operator] = clients;
  const is = denied(PERMISSION_DENIED);
  try {
    await createUser(first, "anna");
    const user = as("anna:secret@", other, authority);
    clients.push(user);
    const [plain, own, system] = [fresh(), fresh(), "$mine"];
    for (const stream of [plain, own, system]) await first.appendToStream(stream, events("A"));
    await first.setStreamMetadata(own, { acl: { readRoles: ["anna"] } });
    assert.equal((await read(user, plain)).length, 1);
    await assert.rejects(read(operator, system), (error) => error instanceof db.AccessDeniedError);
    const settings = {
      $userStreamAcl: { $r: ["$ops"], $w: ["$ops"], $d: ["$ops"], $mr: ["$ops"], $mw: ["$ops"] },
      $systemStreamAcl: { $r: ["$ops", "$admins"], $w: "$admins", $d: "$admins", $mr: "$admins", $mw: "$admins" },
    };
    await first.appendToStream("$settings", [db.jsonEvent({ type: "$settings", data: settings })]);
    await assert.rejects(read(user, plain), (error) => error instanceof db.AccessDeniedError);
    const credentials = { username: "anna", password: "secret" };
    await assert.rejects(user.appendToStream(plain, events("B"), { credentials }), is);
    assert.equal((await read(operator, plain)).length, 1);
    assert.equal((await read(user, own)).length, 1);
    assert.equal((await read(operator, system)).length, 1);
    await assert.rejects(operator.appendToStream(system, events("B"), { credentials: { username: "ops", password: "changeit" } }), is);
  } finally {
    for (const client of clients) await client.dispose();
    await other.stop();
  }
});
