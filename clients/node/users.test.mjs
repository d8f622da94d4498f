// Users: made, told, changed, shut out and let in again, deleted; who may; and each refusal as the client's own error.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { all, connectTo, db, events, fresh } from "./client.mjs";
import { serve } from "./server.mjs";
import { call, list, service } from "./stubs.mjs";

const { UsersClient, ...messages } = service("users");

let server, client, nobody;
before(async () => {
  const ca = join(await mkdtemp(join(process.env.FACTUM_DIRECTORY ?? tmpdir(), "ca-")), "ca.pem");
  server = await serve(["--dev", "--write-ca", ca]);
  client = connectTo(`//admin:changeit@127.0.0.1:${server.port}?tlsCAFile=${ca}`);
  nobody = connectTo(`//127.0.0.1:${server.port}?tlsCAFile=${ca}`);
});
after(async () => {
  await client?.dispose();
  await nobody?.dispose();
  await server?.stop();
});

const ops = { username: "ops", password: "changeit" };
const someone = () => `user-${randomUUID().slice(0, 8)}`;

/** `Create`, `ResetPassword` and so on, with what its options are set to. */
function request(name, set) {
  const options = new messages[`${name}Req`].Options();
  for (const [key, value] of Object.entries(set)) options[`set${key}`](value);
  const made = new messages[`${name}Req`]();
  made.setOptions(options);
  return made;
}

/** One of the calls that answer with nothing. */
function users(name, set, from = client, credentials = undefined) {
  const method = name[0].toLowerCase() + name.slice(1);
  return call(from, UsersClient, method, request(name, set), credentials ? { credentials } : {});
}

async function details(login, from = client, credentials = undefined) {
  const asked = login === undefined ? new messages.DetailsReq() : request("Details", { LoginName: login });
  const found = await list(from, UsersClient, "details", asked, credentials ? { credentials } : {});
  return found.map((each) => each.getUserDetails().toObject());
}

const create = (login, groupsList = [], password = "secret") =>
  users("Create", { LoginName: login, Password: password, FullName: `Full ${login}`, GroupsList: groupsList });

/** Whether a user may append with a password. */
async function mayAppend(username, password) {
  try {
    await client.appendToStream(fresh(), events("A"), { credentials: { username, password } });
    return true;
  } catch (error) {
    denied(error);
    return false;
  }
}

function denied(error) {
  assert.ok(error instanceof db.AccessDeniedError, `${error.constructor.name}: ${error.message}`);
  return true;
}

function about(kind, login) {
  return (error) => {
    assert.ok(error instanceof kind, `${error.constructor.name}, not ${kind.name}: ${error.message}`);
    assert.equal(error.LoginName, login);
    return true;
  };
}

test("a user is made, and is told as it was made", async () => {
  const login = someone();
  assert.equal(await mayAppend(login, "secret"), false);
  await create(login, ["staff", "readers"]);
  const [told, ...more] = await details(login);
  assert.equal(more.length, 0);
  assert.equal(told.loginName, login);
  assert.equal(told.fullName, `Full ${login}`);
  assert.deepEqual(told.groupsList, ["staff", "readers"]);
  assert.equal(told.disabled, false);
  const updated = Number(BigInt(told.lastUpdated.ticksSinceEpoch) / 10_000n);
  assert.ok(Math.abs(updated - Date.now()) < 60_000, String(updated));
  assert.equal(await mayAppend(login, "secret"), true);
  assert.equal(await mayAppend(login, "changeit"), false);
});

test("all users are told when none is named", async () => {
  const login = someone();
  await create(login);
  const logins = (await details()).map(({ loginName }) => loginName);
  for (const each of ["admin", "ops", login]) assert.equal(logins.filter((found) => found === each).length, 1, each);
});

test("a group that a user is in counts in access control lists", async () => {
  const [login, group, stream] = [someone(), someone(), fresh()];
  const credentials = { username: login, password: "secret" };
  await create(login);
  await client.appendToStream(stream, events("A"));
  await client.setStreamMetadata(stream, { acl: { readRoles: [group] } });
  await assert.rejects(all(client.readStream(stream, { credentials })), denied);
  await users("Update", { LoginName: login, FullName: "Other", GroupsList: [group] });
  const [told] = await details(login);
  assert.equal(told.fullName, "Other");
  assert.deepEqual(told.groupsList, [group]);
  assert.equal((await all(client.readStream(stream, { credentials }))).length, 1);
});

test("a user changes the password, who knows it", async () => {
  const login = someone();
  await create(login);
  const own = { username: login, password: "secret" };
  const change = (current, next) => ({ LoginName: login, CurrentPassword: current, NewPassword: next });
  await assert.rejects(users("ChangePassword", change("wrong", "new"), client, own), denied);
  assert.equal(await mayAppend(login, "secret"), true);
  await users("ChangePassword", change("secret", "new"), client, own);
  assert.equal(await mayAppend(login, "secret"), false);
  assert.equal(await mayAppend(login, "new"), true);
});

test("an administrator sets the password without it", async () => {
  const login = someone();
  await create(login);
  await users("ResetPassword", { LoginName: login, NewPassword: "new" });
  assert.equal(await mayAppend(login, "secret"), false);
  assert.equal(await mayAppend(login, "new"), true);
});

test("a user is shut out and let in again", async () => {
  const login = someone();
  await create(login);
  assert.equal(await mayAppend(login, "secret"), true);
  await users("Disable", { LoginName: login });
  assert.equal((await details(login))[0].disabled, true);
  assert.equal(await mayAppend(login, "secret"), false);
  await users("Enable", { LoginName: login });
  assert.equal((await details(login))[0].disabled, false);
  assert.equal(await mayAppend(login, "secret"), true);
});

test("a user is deleted, and the login may be made again", async () => {
  const login = someone();
  await create(login);
  await users("Delete", { LoginName: login });
  assert.equal(await mayAppend(login, "secret"), false);
  await assert.rejects(details(login), about(db.LoginNotFoundError, login));
  await create(login, [], "again");
  assert.equal(await mayAppend(login, "secret"), false);
  assert.equal(await mayAppend(login, "again"), true);
});

test("a login that is taken is a conflict", async () => {
  const login = someone();
  await create(login);
  await assert.rejects(create(login, [], "other"), about(db.LoginConflictError, login));
  assert.equal(await mayAppend(login, "secret"), true);
});

test("a user that is not there is told so, for each call", async () => {
  const login = someone();
  const missing = about(db.LoginNotFoundError, login);
  const calls = [
    ["Update", { FullName: "x" }],
    ["Delete", {}],
    ["Disable", {}],
    ["Enable", {}],
    ["ResetPassword", { NewPassword: "new" }],
  ];
  for (const [name, set] of calls) await assert.rejects(users(name, { LoginName: login, ...set }), missing, name);
  await assert.rejects(details(login), missing);
  // Who guesses a password learns nothing of who is there.
  const guess = { LoginName: login, CurrentPassword: "x", NewPassword: "new" };
  await assert.rejects(users("ChangePassword", guess), denied);
});

test("what cannot be taken is refused, and makes nothing", async () => {
  const before = (await details()).length;
  await assert.rejects(create(""), /login/);
  await assert.rejects(create(someone(), [], ""), /password/);
  await assert.rejects(create(someone(), [""]), /group/);
  assert.equal((await details()).length, before);
});

test("only administrators may; others may see themselves and change their own password", async () => {
  const login = someone();
  await create(login);
  const own = { username: login, password: "secret" };
  const calls = [
    ["Create", { LoginName: someone(), Password: "x" }],
    ["Update", { LoginName: "admin", FullName: "x" }],
    ["Delete", { LoginName: "ops" }],
    ["Disable", { LoginName: "admin" }],
    ["Enable", { LoginName: "admin" }],
    ["ResetPassword", { LoginName: "admin", NewPassword: "x" }],
    ["ChangePassword", { LoginName: "admin", CurrentPassword: "changeit", NewPassword: "x" }],
  ];
  for (const [name, set] of calls) {
    await assert.rejects(users(name, set, client, own), denied, name);
    await assert.rejects(users(name, set, client, ops), denied, name);
    await assert.rejects(users(name, set, nobody), denied, name);
  }
  for (const who of [undefined, "admin"]) {
    await assert.rejects(details(who, client, own), denied);
    await assert.rejects(details(who, nobody), denied);
  }
  assert.equal((await details(login, client, own))[0].loginName, login);
  assert.equal(await mayAppend("admin", "changeit"), true);
  assert.equal(await mayAppend("ops", "changeit"), true);
});

test("users stay over a restart", async () => {
  const [kept, shut, gone] = [someone(), someone(), someone()];
  for (const login of [kept, shut, gone]) await create(login);
  await users("ResetPassword", { LoginName: kept, NewPassword: "new" });
  await users("Disable", { LoginName: shut });
  await users("Delete", { LoginName: gone });
  await server.kill();
  await server.start();
  // The server makes a new certificate each time it starts, and writes its authority anew.
  const later = connectTo(`//admin:changeit@127.0.0.1:${server.port}?tlsCAFile=${server.arguments[2]}`);
  try {
    const [told] = await details(kept, later, { username: kept, password: "new" });
    assert.equal(told.loginName, kept);
    assert.equal((await details(shut, later))[0].disabled, true);
    await assert.rejects(details(shut, later, { username: shut, password: "secret" }), denied);
    await assert.rejects(details(gone, later), about(db.LoginNotFoundError, gone));
  } finally {
    await later.dispose();
  }
});
